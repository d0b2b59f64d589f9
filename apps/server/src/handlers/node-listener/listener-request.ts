import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { HandlerContext, HttpRequest } from '../../handler.ts'
import type { ListenerSocket } from './listener-socket.ts'

// How Node's own parser hands the fields over, so that they are joined and split by Node's rules.
interface FieldReceiver {
  _addHeaderLines(fields: string[], count: number): void
}

/**
 * A request as a listener of node:http expects it. The names in `rawHeaders` and `rawTrailers` are in lower case.
 *
 * Express puts prototypes of its own in place of this one, so what is replaced here is on the object too.
 */
export class ListenerRequest extends IncomingMessage {
  /** The target as the client has sent it; `url` is without the path of the mount. */
  readonly originalUrl: string
  /** The path of the mount, without a slash at its end. */
  readonly baseUrl: string
  /** Called when the body could not be read and the listener does not look for 'error'. */
  onFailure: (error: Error) => void = () => undefined
  readonly #request: HttpRequest
  readonly #hasBody: boolean
  readonly #socket: ListenerSocket
  #pieces: AsyncIterator<Uint8Array> | undefined
  /** The connection stays: what failed or was left is the body alone. */
  #keepsSocket = false

  constructor(request: HttpRequest, ctx: HandlerContext, socket: ListenerSocket) {
    super(socket as unknown as Socket)
    this.#request = request
    this.#socket = socket
    this.method = request.method
    this.originalUrl = request.target
    this.baseUrl = ctx.mountPath === '/' ? '' : ctx.mountPath
    this.url = urlOf(request, ctx)
    this.httpVersion = request.version
    this.httpVersionMajor = 1
    this.httpVersionMinor = request.version === '1.1' ? 1 : 0
    const fields: string[] = []
    // All at once: the server keeps a request only until its response is complete.
    for (const [name, value] of request.headers) fields.push(name, value)
    ;(this as unknown as FieldReceiver)._addHeaderLines(fields, fields.length)
    this.#hasBody = request.headers.has('content-length') || request.headers.has('transfer-encoding')
    Object.assign(this, replacements)
  }

  /** The response is complete, after which no body can be read. */
  static over(request: ListenerRequest): void {
    if (request.destroyed || request.readableEnded) return
    request.#keepsSocket = true
    // To end a stream costs more than a request; who does not listen does not miss it.
    if (
      request.#pieces !== undefined ||
      request.listenerCount('close') > 0 ||
      request.listenerCount('end') > 0
    )
      request.destroy()
  }

  override _read(): void {
    if (!this.#hasBody) {
      this.#end()
      return
    }
    this.#pieces ??= this.#request.body[Symbol.asyncIterator]()
    void this.#pull(this.#pieces)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.complete) {
      this.emit('aborted')
      if (!this.#keepsSocket) this.#socket.destroy(error ?? undefined)
    }
    this.#pieces?.return?.().catch(() => undefined)
    // As in Node: an error of a request that nobody listens for ends no process.
    const told = this.listenerCount('error') > 0 ? error : null
    process.nextTick(callback, told)
  }

  async #pull(pieces: AsyncIterator<Uint8Array>): Promise<void> {
    try {
      const piece = await pieces.next()
      this.#socket.active()
      if (this.destroyed) return
      if (piece.done === true) this.#endWithTrailers()
      // An IncomingMessage leaves it to its parser to go on.
      else if (this.push(piece.value)) this.read(0)
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  #endWithTrailers(): void {
    const fields: string[] = []
    for (const [name, value] of this.#request.trailers) fields.push(name, value)
    // What is added to a complete message are trailers, to Node.
    this.complete = true
    if (fields.length > 0) (this as unknown as FieldReceiver)._addHeaderLines(fields, fields.length)
    this.#end()
  }

  #end(): void {
    this.complete = true
    this.push(null)
  }

  // A listener that hears of it may still answer, with 413 say.
  #failed(error: Error): void {
    if (this.destroyed) return
    this.#keepsSocket = true
    if (this.listenerCount('error') === 0) this.onFailure(error)
    this.destroy(error)
  }
}

const replacements = Object.fromEntries(
  ['_read', '_destroy'].map((name) => [name, Reflect.get(ListenerRequest.prototype, name) as unknown]),
)

function urlOf({ target, query }: HttpRequest, { path }: HandlerContext): string {
  if (target === '*') return target
  const rest = path === '' ? '/' : path
  return query === undefined ? rest : `${rest}?${query}`
}
