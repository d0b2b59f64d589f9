// A handler for each way to go wrong.
export function handle(request, ctx) {
  switch (ctx.path) {
    case '/throws':
      throw new Error('thrown on purpose')
    case '/rejects':
      return Promise.reject(new Error('rejected on purpose'))
    case '/header':
      return { headers: { 'x-bad': 'a\r\nb' }, body: '' }
    case '/status':
      return { status: 99 }
    case '/crash':
      // Outside of any request's promise: ends the thread.
      setImmediate(() => {
        throw new Error('crashed on purpose')
      })
      return new Promise(() => undefined)
    case '/crash-when-told':
      ctx.log.info('begun')
      return request.text().then(() => {
        setImmediate(() => {
          throw new Error('crashed on purpose')
        })
        return new Promise(() => undefined)
      })
    case '/busy':
      // Long enough for all that the test sends meanwhile to be one batch.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
      return { body: 'well' }
    case '/exit':
      return process.exit()
    case '/nothing':
      return undefined
    default:
      return { body: 'well' }
  }
}

export function cleanup() {
  throw new Error('not cleaned up on purpose')
}
