import { setTimeout as delay } from 'node:timers/promises'

export async function handle(request, ctx) {
  ctx.log.info('begun')
  await delay(Number(ctx.options?.milliseconds ?? 100))
  return { body: `generation ${ctx.generation}` }
}
