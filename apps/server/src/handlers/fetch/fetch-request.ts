import { ReadableStream } from 'node:stream/web'
import type { HandlerContext, HttpRequest } from '../../handler.ts'
import { isConnectionField } from '../connection-fields.ts'

/** A Request whose body and signal are made when somebody asks for them. */
export class FetchRequest extends Request {
  readonly #ctx: HandlerContext

  constructor(url: string, request: HttpRequest, ctx: HandlerContext) {
    super(url, initOf(request))
    this.#ctx = ctx
  }

  static signalOf(request: FetchRequest): AbortSignal | undefined {
    return request.#ctx.signal
  }
}

// A signal costs more than a request, and most handlers do not look at it.
Object.defineProperty(FetchRequest.prototype, 'signal', {
  configurable: true,
  enumerable: true,
  get(this: FetchRequest) {
    return FetchRequest.signalOf(this)
  },
})

function initOf(request: HttpRequest): RequestInit {
  const { method, headers } = request
  const fields: [string, string][] = []
  for (const field of headers) if (!isConnectionField(field[0])) fields.push(field)
  if (method === 'GET' || method === 'HEAD') return { method, headers: fields }
  if (!headers.has('content-length') && !headers.has('transfer-encoding')) return { method, headers: fields }
  // A body that is streamed is sent in full before a response is looked at: half duplex, the only way that there is.
  return { method, headers: fields, body: bodyOf(request), duplex: 'half' }
}

function bodyOf(request: HttpRequest): ReadableStream<Uint8Array> {
  let pieces: AsyncIterator<Uint8Array> | undefined
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        pieces ??= request.body[Symbol.asyncIterator]()
        const piece = await pieces.next()
        if (piece.done === true) controller.close()
        else controller.enqueue(piece.value)
      },
      async cancel() {
        await pieces?.return?.()
      },
    },
    // Nothing is read ahead of the one who reads.
    { highWaterMark: 0 },
  )
}
