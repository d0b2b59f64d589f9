// A fetch handler with a route for each thing that one may do.
import { createHash } from 'node:crypto'
import { fromFetch } from '@x/server'

const seen = { pulled: 0, cancelled: 0, aborted: 0 }

const routes = {
  async '/request'(request, { mountPath, path }) {
    const { method, url } = request
    const isRequest = request instanceof Request
    return Response.json({ method, url, headers: [...request.headers], isRequest, mountPath, path })
  },
  '/copies'(request) {
    const copy = new Request(request, { headers: { 'x-copy': '1' } })
    return new Response(copy.body, { headers: copy.headers })
  },
  async '/upload'(request) {
    const hash = createHash('sha256')
    for await (const bytes of request.body) hash.update(bytes)
    return new Response(hash.digest('hex'))
  },
  async '/form'(request) {
    return Response.json([...(await request.formData())])
  },
  '/echo': (request) => new Response(request.body),
  '/fields': () =>
    new Response(null, {
      status: 204,
      headers: [
        ['set-cookie', 'a=1'],
        ['set-cookie', 'b=2'],
        ['keep-alive', 'timeout=5'],
        ['connection', 'keep-alive'],
      ],
    }),
  '/close': () => new Response('bye', { headers: { connection: 'close' } }),
  '/endless'(request) {
    request.signal.addEventListener('abort', () => seen.aborted++)
    const pull = (controller) => {
      seen.pulled++
      controller.enqueue(new Uint8Array(64 * 1024))
    }
    return new Response(new ReadableStream({ pull, cancel: () => seen.cancelled++ }, { highWaterMark: 0 }))
  },
  '/breaks'() {
    let pieces = 0
    const pull = (controller) => {
      if (pieces++ === 0) controller.enqueue(new TextEncoder().encode('half'))
      else controller.error(new Error('broken'))
    }
    return new Response(new ReadableStream({ pull }))
  },
  '/broken': () =>
    new Response(new ReadableStream({ pull: (controller) => controller.error(new Error('broken')) })),
  '/throws'() {
    throw new Error('thrown')
  },
  '/nothing': () => undefined,
  async '/later'() {},
  '/seen': () => Response.json(seen),
}

export const { handle } = fromFetch((request, ctx) => {
  const route = routes[ctx.path]
  return route === undefined ? new Response('no such route', { status: 404 }) : route(request, ctx)
})
