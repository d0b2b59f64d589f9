export function handle(request, ctx) {
  return { body: String(ctx.worker) }
}
