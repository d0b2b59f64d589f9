// process.send to a child and back: bytes with `serialization: 'advanced'`, text with 'json'.
import { once } from 'node:events'
import { connect as connectSocket, createServer } from 'node:net'

const isControl = (message) => message.control !== undefined

export const serve = () => {
  process.on('message', (message, handle) => {
    if (isControl(message)) return
    handle?.destroy()
    process.send(message)
  })
}

/** A handle that can be sent as often as one likes. */
const socketToSend = async () => {
  const listener = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const accepted = once(listener, 'connection')
  connectSocket(listener.address().port).unref()
  const [socket] = await accepted
  return socket
}

export const connect = ({ server, serialization }) => {
  let settle
  server.on('message', (message) => {
    if (!isControl(message)) settle(message)
  })
  const text = serialization === 'json'
  return {
    sync: false,
    prepare: (bytes) => (text ? bytes.toString('latin1') : bytes),
    call: (message, handle) =>
      new Promise((resolve) => {
        settle = resolve
        server.send(message, handle, { keepOpen: true })
      }),
    bytesOf: (message) => (text ? Buffer.from(message, 'latin1') : message),
    descriptor: socketToSend,
  }
}
