// Answers every request with a greeting. `options.name` says whom to greet.

export function init(ctx) {
  ctx.log.info('ready to greet')
}

export function handle(request, ctx) {
  const name = ctx.options?.name ?? 'world'
  return {
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: `Hello, ${name}, from generation ${ctx.generation} in worker ${ctx.worker}.\n`,
  }
}
