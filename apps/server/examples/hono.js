// An app of Hono, by the fetch API; `env` is the context of the request.

import { Hono } from 'hono'
import { fromFetch } from '@x/server'

const app = new Hono()
app.get('*/greetings/:name', ({ req, env }) =>
  Response.json({ greeting: `Hello, ${req.param('name')}`, mount: env.mountPath }),
)
app.post('*/sums', async ({ req }) => {
  const numbers = await req.json()
  return Response.json({ sum: numbers.reduce((sum, each) => sum + each, 0) })
})
app.post('*/upper', ({ req }) => {
  const upper = new TransformStream({
    transform: (text, controller) => controller.enqueue(text.toUpperCase()),
  })
  const body = req.raw.body.pipeThrough(new TextDecoderStream()).pipeThrough(upper)
  return new Response(body.pipeThrough(new TextEncoderStream()), {
    headers: { 'content-type': 'text/plain' },
  })
})

export const { handle } = fromFetch(app.fetch)
