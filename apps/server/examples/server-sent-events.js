// Counts up once a second to everybody who listens, and goes on where a client was when it comes back:
// `new EventSource('/counter').onmessage = ({ data }) => console.log(data)`

import { setTimeout } from 'node:timers/promises'
import { ServerSentEvents } from '@x/server'

export function handle(request, ctx) {
  const events = new ServerSentEvents({ signal: ctx.signal })
  void count(events, Number(request.headers.get('last-event-id') ?? 0), ctx.options?.interval ?? 1000)
  return events
}

async function count(events, last, interval) {
  await events.send({ retry: interval })
  for (let number = last + 1; await events.send({ id: `${number}`, data: `${number}` }); number++) {
    await setTimeout(interval, undefined, { signal: events.closed }).catch(() => {})
  }
}
