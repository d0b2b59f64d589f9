import { readFile } from 'node:fs/promises'

/**
 * What shows who answered what: the process, the target, and the length of the body. With ?ms=N after that time, with
 * ?fifo=PATH when somebody has written to that.
 */
export async function handle(request) {
  const [, milliseconds] = /[?&]ms=(\d+)/.exec(request.target) ?? []
  if (milliseconds !== undefined) await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)))
  const [, fifo] = /[?&]fifo=([^&]+)/.exec(request.target) ?? []
  if (fifo !== undefined) await readFile(fifo)
  const body = request.method === 'POST' ? await request.body.text() : ''
  return { status: 200, body: `pid=${process.pid} ${request.target} ${body.length}\n` }
}
