// The handler of x-server that the clients expect: who has answered, and what was asked.

/** @param {{ method: string, target: string, body: { text: () => Promise<string> } }} request */
export async function handle(request) {
  const [, milliseconds] = /[?&]ms=(\d+)/.exec(request.target) ?? []
  if (milliseconds !== undefined) await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)))
  const body = request.method === 'POST' ? await request.body.text() : ''
  return { body: `pid=${process.pid} ${request.target} ${body.length}\n` }
}
