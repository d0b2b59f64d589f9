// Gives the body back piece by piece, and behind it the trailers that followed it, with the process that has seen them.
export async function handle(request, ctx) {
  const body = ctx.path === '/late' ? [await request.bytes()] : request.body
  return {
    headers: { trailer: 'x-echo, x-pid' },
    body: pieces(body),
    trailers: () => ({ 'x-echo': request.trailers.getAll('x').join('; '), 'x-pid': process.pid }),
  }
}

async function* pieces(body) {
  yield* body
}
