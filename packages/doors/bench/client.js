// The client of a subject, which starts its server: `node client.js '{"subject":…}'` measures each cell in turn, and
// prints a line of JSON for it: µs of wall time and of CPU time, of both sides, for a round trip.
import { burst } from './burst.js'
import { controlOf, startServer } from './child.js'
import { cpuMicroseconds } from './cpu.js'

const options = JSON.parse(process.argv[2])
const { subject, alone = false, serverCpus, cells, seconds } = options
/** The first cell also warms up what all have in common. */
const WARM = 4

const serverCpu = async (server) => {
  if (server === undefined) return 0
  const answer = controlOf(server)
  server.send({ control: 'cpu' })
  return (await answer).cpu
}

const check = async ({ call, bytesOf = (reply) => reply }, bytes, request, descriptor) => {
  const reply = bytesOf(await call(request, descriptor))
  if (Buffer.compare(reply, bytes) !== 0) throw new Error('the reply is not what was sent')
}

const measure = async (connection, server, { bytes: length, descriptors }, warm) => {
  const { prepare = (bytes) => bytes } = connection
  const bytes = Buffer.alloc(length, 'abcdefghijklmnopqrstuvwxyz')
  const request = prepare(bytes)
  const descriptor = descriptors > 0 ? await connection.descriptor() : undefined
  await check(connection, bytes, request, descriptor)
  await burst(connection, request, descriptor, warm)
  const before = (await serverCpu(server)) + cpuMicroseconds()
  const { calls, wall } = await burst(connection, request, descriptor, seconds)
  const cpu = cpuMicroseconds() + (await serverCpu(server)) - before
  await check(connection, bytes, request, descriptor)
  return { wall, cpu: cpu / calls }
}

const print = (result) =>
  new Promise((resolve) => process.stdout.write(`${JSON.stringify(result)}\n`, resolve))

const { connect } = await import(`./subjects/${subject}.js`)
const server = alone ? undefined : await startServer(options, serverCpus)
const connection = await connect({ ...options, server })
for (const [index, cell] of cells.entries()) {
  await print(await measure(connection, server, cell, index === 0 ? WARM * seconds : seconds))
}
process.exit()
