// Streams of events, by their path; `/state` tells how many are open and how they ended.
import { ServerSentEvents } from '@x/server'

const state = { open: 0, refused: 0 }

function open(options) {
  const events = new ServerSentEvents(options)
  state.open++
  events.closed.addEventListener('abort', () => state.open--)
  return events
}

const routes = {
  '/few'(request, ctx) {
    const events = open({
      signal: ctx.signal,
      headers: { 'x-last': request.headers.get('last-event-id') ?? '' },
    })
    void events.send({ id: 'n1', event: 'greeting', data: 'one\ntwo\r\nthree', retry: 10 })
    void events.send({ data: request.headers.get('last-event-id') ?? 'first time' })
    events.close()
    return events
  },
  '/quiet': (_request, ctx) => open({ signal: ctx.signal, heartbeat: 20 }),
  '/waits'(_request, ctx) {
    const events = open({ signal: ctx.signal })
    void (async () => {
      const data = 'x'.repeat(64 * 1024)
      for (state.sent = 0; await events.send({ data });) state.sent++
    })()
    return events
  },
  '/floods'(_request, ctx) {
    const events = open({ signal: ctx.signal, limit: 256 * 1024 })
    const data = 'x'.repeat(64 * 1024)
    for (let at = 0; at < 100; at++) void events.send({ data }).then((more) => more || state.refused++)
    return events
  },
  '/state': () => ({ body: JSON.stringify(state) }),
}

export const handle = (request, ctx) => routes[ctx.path](request, ctx)
