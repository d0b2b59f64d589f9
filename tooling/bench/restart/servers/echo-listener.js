// The same for node:http.
import { text } from 'node:stream/consumers'

/** @type {import('node:http').RequestListener} */
export const echo = async (request, response) => {
  const target = request.url ?? ''
  const [, milliseconds] = /[?&]ms=(\d+)/.exec(target) ?? []
  if (milliseconds !== undefined) await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)))
  const body = request.method === 'POST' ? await text(request) : ''
  const answer = `pid=${process.pid} ${target} ${body.length}\n`
  response.setHeader('content-length', Buffer.byteLength(answer))
  response.end(answer)
}
