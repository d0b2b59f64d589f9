/** Holds up its whole thread, as a handler that computes does. */
export function handle(request, ctx) {
  ctx.log.info('begun')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(ctx.options.milliseconds))
  return { body: 'done' }
}
