// The same bytes, given in each way that a response may be given.
export function handle(request, ctx) {
  const { size } = ctx.options
  switch (ctx.path) {
    case '/iterable':
      return { body: pieces(size) }
    case '/readable':
      return { body: ReadableStream.from(pieces(size)) }
    case '/response':
      return new Response(ReadableStream.from(pieces(size)), { headers: { 'x-kind': 'whatwg' } })
    case '/bytes':
      return { body: bytes(0, size) }
    default:
      return { body: failing() }
  }
}

const bytes = (start, end) => Uint8Array.from({ length: end - start }, (_, index) => (start + index) % 251)

async function* pieces(size) {
  for (let at = 0; at < size; at += 100_000) yield bytes(at, Math.min(at + 100_000, size))
}

async function* failing() {
  yield 'a beginning'
  await new Promise((resolve) => setTimeout(resolve, 10))
  throw new Error('failed on purpose')
}
