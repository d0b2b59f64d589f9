// @grpc/grpc-js over a Unix socket: a unary method whose messages are the bytes themselves, without protobuf.
import { promisify } from 'node:util'
import { credentials, makeGenericClientConstructor, Server, ServerCredentials } from '@grpc/grpc-js'

const same = (bytes) => bytes
const service = {
  echo: {
    path: '/bench.Echo/Echo',
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
}
const EchoClient = makeGenericClientConstructor(service, 'Echo')

export const serve = async ({ path }) => {
  const server = new Server()
  server.addService(service, {
    echo: (call, callback) => {
      callback(null, call.request)
    },
  })
  await promisify(server.bindAsync.bind(server))(`unix:${path}`, ServerCredentials.createInsecure())
}

export const connect = ({ path }) => {
  const client = new EchoClient(`unix:${path}`, credentials.createInsecure())
  const echo = promisify(client.echo.bind(client))
  return { sync: false, call: (bytes) => echo(bytes) }
}
