// Says which thread answers, and how many generations of this module that thread has loaded.
import { threadId } from 'node:worker_threads'

const loaded = (globalThis.loadedGenerations = (globalThis.loadedGenerations ?? 0) + 1)

export function init(ctx) {
  ctx.log.info('begun', { thread: threadId })
}

export async function handle(request, ctx) {
  await request.text()
  return { body: JSON.stringify({ thread: threadId, loaded, generation: ctx.generation }) }
}

export function cleanup(ctx) {
  ctx.log.info('ended', { thread: threadId })
}
