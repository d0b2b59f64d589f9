import { createHash } from 'node:crypto'

export async function handle(request) {
  const hash = createHash('sha256')
  let size = 0
  for await (const piece of request.body) {
    hash.update(piece)
    size += piece.length
  }
  return { body: `${size} ${hash.digest('hex')}` }
}
