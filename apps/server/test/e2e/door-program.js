// Serves the door that is its first argument, and says on its output what happens. It is killed by its test.
import { createDoor } from '@x/doors'
import { serveDoor } from '@x/server'

const [path] = process.argv.slice(2)
const say = (text) => process.stdout.write(`${text}\n`)
const never = () => new Promise(() => {})

const routes = {
  async '/request'(request, { mountPath, path: rest, caller }) {
    const { method, target, path: whole, query, version, host, remoteAddress } = request
    const told = {
      method,
      target,
      whole,
      query,
      version,
      host,
      remoteAddress,
      mountPath,
      rest,
      caller: caller.pid,
    }
    return {
      headers: { 'x-pid': process.pid },
      body: JSON.stringify({ ...told, headers: [...request.headers] }),
    }
  },
  async '/trailers'(request) {
    const early = [...request.trailers]
    await request.bytes()
    return { body: JSON.stringify([early, [...request.trailers], request.trailers.get('X')]) }
  },
  '/echo': (request) => ({
    status: 201,
    headers: [
      ['x-a', '1'],
      ['x-a', '2'],
      ['Keep-Alive', 'timeout=5'],
      ['Content-Length', '1'],
    ],
    body: request.body,
  }),
  '/fetch': () => new Response('of fetch', { headers: { 'x-fetch': '1' } }),
  '/length': () => ({ headers: { 'content-length': '77' } }),
  async '/slow'(_request, { signal }) {
    signal.addEventListener('abort', () => say('given up'))
    say('slow')
    return never()
  },
  '/throws'() {
    throw new Error('thrown')
  },
  '/nothing': () => undefined,
  '/status': () => ({ status: 99 }),
}

const served = serveDoor(
  (request, ctx) =>
    routes[ctx.path]?.(request, ctx) ?? (ctx.path === '/nothing' ? undefined : { status: 404 }),
)
const garbled = new Map([
  ['/garbage', 'no message'],
  ['/empty', ''],
  ['/long', Buffer.from([255, 255, 255, 255, 1])],
  ['/list', Buffer.concat([Buffer.from([2, 0, 0, 0]), Buffer.from('[]')])],
])
const door = createDoor(
  (data, context) => {
    const { path: rest } = JSON.parse(data.toString('utf8', 4, 4 + data.readUInt32LE()))
    return garbled.get(rest) ?? served(data, context)
  },
  { dataMax: 1024 * 1024 },
)
door.attach(path, { reclaim: true })
say('serving')
