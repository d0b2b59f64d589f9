import { mayBeTrailer } from '@x/http1'
import { OutgoingMessage, ServerResponse } from 'node:http'
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { ResponseLike } from '../../handler.ts'
import { asksToClose, isConnectionField } from '../connection-fields.ts'
import { PieceQueue } from '../piece-queue.ts'
import { ListenerRequest } from './listener-request.ts'
import type { ListenerSocket } from './listener-socket.ts'

type Callback = (error?: Error | null) => void
type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[]
type Trailers = OutgoingHttpHeaders | readonly [string, string][]

const brokenOff: ResponseLike = {
  status: 500,
  headers: { 'content-type': 'text/plain; charset=utf-8', connection: 'close' },
  body: '500: the handler broke the response off\n',
}

/** A body of which nothing will be sent, and whose length is not known: that of a HEAD. */
const unknownLength: AsyncIterable<Uint8Array> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
}

/**
 * A response of node:http that becomes a response of this server. What a listener ends in one go is handed over
 * whole, and anything else as a stream. State and checks are those of ServerResponse; only what would write to a
 * socket is replaced.
 *
 * Express puts prototypes of its own in place of this one, so what is replaced here is on the object too.
 */
export class ListenerResponse extends ServerResponse<ListenerRequest> {
  /** The response as the server takes it, when the listener has begun it. */
  answer: ResponseLike | undefined
  readonly #stub: ListenerSocket
  #pieces: PieceQueue | undefined
  #resolve: ((answer: ResponseLike) => void) | undefined
  #reject: ((error: unknown) => void) | undefined
  #failure: { readonly error: unknown } | undefined
  #closed = false

  // Of ServerResponse, where they have no types: what headersSent looks at, whether there may be a body, and the lines
  // that addTrailers() has checked.
  declare _header: string | null
  declare _hasBody: boolean
  declare _trailer: string
  declare _sent100: boolean
  declare _closed: boolean
  declare _implicitHeader: () => void

  constructor(request: ListenerRequest, socket: ListenerSocket) {
    super(request)
    this.#stub = socket
    socket.pending = () => this.#pending()
    socket.onDestroy = (error) => {
      this.#breakOff(error)
    }
    this.assignSocket(socket as unknown as Socket)
    Object.assign(this, replacements)
  }

  /** The answer as soon as there is one. Rejects with the listener's error. */
  static answered(response: ListenerResponse): ResponseLike | Promise<ResponseLike> {
    if (response.#failure !== undefined) throw response.#failure.error
    if (response.answer !== undefined) return response.answer
    return new Promise((resolve, reject) => {
      response.#resolve = resolve
      response.#reject = reject
    })
  }

  /** The listener has thrown. Returns false when its response was complete before. */
  static fail(response: ListenerResponse, error: unknown): boolean {
    if (response.writableEnded) return false
    if (response.answer === undefined) {
      response.#failure ??= { error }
      response.#reject?.(error)
      response.#close()
    } else response.destroy(error instanceof Error ? error : new Error(String(error)))
    return true
  }

  override writeHead(statusCode: number, statusMessage?: string, headers?: Headers): this
  override writeHead(statusCode: number, headers?: Headers): this
  override writeHead(statusCode: number, reason?: string | Headers, headers?: Headers): this {
    // It has the right words for a second head, and for a status that is none.
    if (this.headersSent || !(statusCode >= 100 && statusCode <= 999)) return super.writeHead(statusCode)
    const fields = headers ?? (typeof reason === 'object' ? reason : undefined)
    if (fields !== undefined) this.#setAll(fields)
    this.statusCode = Math.trunc(statusCode)
    if (typeof reason === 'string') this.statusMessage = reason
    if (this.statusCode === 204 || this.statusCode === 304) this._hasBody = false
    this._header = `HTTP/1.1 ${this.statusCode}\r\n\r\n`
    return this
  }

  override flushHeaders(): void {
    if (!this.headersSent) this._implicitHeader()
    this.#stream()
  }

  override write(chunk: unknown, callback?: Callback): boolean
  override write(chunk: unknown, encoding: BufferEncoding, callback?: Callback): boolean
  override write(chunk: unknown, encoding?: BufferEncoding | Callback, callback?: Callback): boolean {
    const then = functionOf(encoding) ?? functionOf(callback)
    const coding = encodingOf(encoding)
    // It tells of a chunk that is none, and of a response that has ended, as it always did.
    if (!isChunk(chunk) || this.writableEnded || this.destroyed)
      return super.write(chunk, coding ?? 'utf8', then)
    if (!this.headersSent) this._implicitHeader()
    this.#stream()
    this.#stub.active()
    if (this.#pieces === undefined) {
      if (then !== undefined) process.nextTick(then)
      return true
    }
    const goOn = this.#pieces.push(bytesOf(chunk, coding), then)
    if (!goOn) this.#set(needDrain, true)
    return goOn
  }

  override end(callback?: () => void): this
  override end(chunk: unknown, callback?: () => void): this
  override end(chunk: unknown, encoding: BufferEncoding, callback?: () => void): this
  override end(chunk?: unknown, encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    const then = functionOf(chunk) ?? functionOf(encoding) ?? functionOf(callback)
    const coding = encodingOf(encoding)
    const last = typeof chunk === 'function' ? undefined : (chunk ?? undefined)
    if (this.writableEnded) {
      if (last !== undefined || then === undefined || this.writableFinished)
        return super.end(last, coding ?? 'utf8', then)
      return this.once('finish', then)
    }
    // It throws what says so.
    if (last !== undefined && !isChunk(last)) super.write(last, coding ?? 'utf8')
    if (then !== undefined) this.once('finish', then)
    if (!this.headersSent) this._implicitHeader()
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- it is what writableEnded looks at
    this.finished = true
    this.emit('prefinish')
    this.#end(last as string | Uint8Array | undefined, coding)
    return this
  }

  override addTrailers(fields: Trailers): void {
    const names = isPairs(fields) ? fields.map(([name]) => name) : Object.keys(fields)
    const wrong = names.find((name) => !mayBeTrailer(name))
    if (wrong !== undefined) {
      throw new TypeError(`${wrong} must not be a trailer (RFC 9110 section 6.5.1): set it as a header`)
    }
    super.addTrailers(fields)
  }

  /** The server says it itself, when the listener first reads the body. */
  override writeContinue(callback?: () => void): void {
    this._sent100 = true
    if (callback !== undefined) process.nextTick(callback)
  }

  /** Interim responses but 100 are not sent: a client has to do without them anyway. */
  override writeProcessing(callback?: () => void): void {
    if (callback !== undefined) process.nextTick(callback)
  }

  override writeEarlyHints(_hints: Record<string, string | string[]>, callback?: () => void): void {
    if (callback !== undefined) process.nextTick(callback)
  }

  #end(last: string | Uint8Array | undefined, encoding: BufferEncoding | undefined): void {
    if (this.answer === undefined && this.#needsChunks()) this.#stream()
    if (this.#pieces !== undefined) {
      if (last !== undefined && last.length > 0) this.#pieces.push(bytesOf(last, encoding))
      this.#pieces.end()
      return
    }
    if (this.answer === undefined) this.#hand(this.#wholeBody(last, encoding))
    // Behind what the listener may still do wrong in this turn: after 'close' nobody would be told of it.
    process.nextTick(() => {
      process.nextTick(() => {
        this.#finish()
      })
    })
  }

  #wholeBody(
    last: string | Uint8Array | undefined,
    encoding: BufferEncoding | undefined,
  ): ResponseLike['body'] {
    if (last === undefined || last.length === 0)
      return this.req.method === 'HEAD' && !this.hasHeader('content-length') ? unknownLength : undefined
    // To a HEAD only its length goes, unless the listener has said it.
    if (this.req.method === 'HEAD' && this.hasHeader('content-length')) return undefined
    return typeof last === 'string' && isUtf8(encoding) ? last : bytesOf(last, encoding)
  }

  /** Trailers that were added, or announced, follow a body only when it is chunked. */
  #needsChunks(): boolean {
    return this.#mayHaveTrailers() && this._hasBody && (this._trailer !== '' || this.hasHeader('trailer'))
  }

  #mayHaveTrailers(): boolean {
    return this.req.httpVersionMinor > 0 && !this.hasHeader('content-length')
  }

  /** From now on the body goes piece by piece. */
  #stream(): void {
    if (this.answer !== undefined) return
    if (!this._hasBody) {
      this.#hand(this.hasHeader('content-length') ? undefined : unknownLength)
      return
    }
    const owner = {
      drained: () => {
        this.#set(needDrain, false)
        if (!this.writableEnded) this.emit('drain')
      },
      finished: () => {
        process.nextTick(() => {
          this.#finish()
        })
      },
      gone: () => {
        this.destroy()
      },
    }
    this.#pieces = new PieceQueue(owner, this.#stub.writableHighWaterMark)
    this.#hand(this.#pieces)
  }

  #hand(body: ResponseLike['body']): void {
    const isChunked = this.#pieces !== undefined && this.#mayHaveTrailers()
    const headers = this.#fields(isChunked)
    const trailers = isChunked ? () => linesToPairs(this._trailer) : undefined
    this.answer = { status: this.statusCode, headers, body, trailers }
    this.#resolve?.(this.answer)
  }

  #fields(isChunked: boolean): Record<string, string | number | readonly string[]> {
    const fields = this.getHeaders() as Record<string, string | number | string[] | undefined>
    for (const name in fields) {
      const value = fields[name]
      if (value === undefined) continue
      if (typeof value === 'object') fields[name] = value.map(String)
      else if (typeof value !== 'string' && typeof value !== 'number') fields[name] = String(value)
      if (!isConnectionField(name) || (isChunked && name === 'trailer')) continue
      // The server frames the message; that the connection ends with it is the listener's to say.
      if (name === 'connection' && asksToClose(String(value))) fields[name] = 'close'
      else Reflect.deleteProperty(fields, name)
    }
    return fields as Record<string, string | number | readonly string[]>
  }

  #setAll(fields: Headers): void {
    if (!Array.isArray(fields)) {
      for (const [name, value] of Object.entries(fields)) if (value !== undefined) this.setHeader(name, value)
      return
    }
    const pairs = fields.flat(1) as string[]
    for (let at = 0; at < pairs.length; at += 2) this.removeHeader(pairs[at] as string)
    for (let at = 0; at < pairs.length; at += 2)
      this.appendHeader(pairs[at] as string, pairs[at + 1] as string)
  }

  #set(state: symbol | undefined, value: boolean): void {
    if (state !== undefined) (this as unknown as Record<symbol, boolean>)[state] = value
  }

  #pending(): number {
    if (this.#pieces === undefined) return 0
    // Not nothing until the last has been taken: writableFinished looks at it.
    return this.#pieces.size + (this.#closed ? 0 : 1)
  }

  #finish(): void {
    if (this.#closed) return
    this.#closed = true
    this.detachSocket(this.#stub as unknown as Socket)
    this.#set(writableFinished, true)
    this.emit('finish')
    this.#close()
  }

  #breakOff(error: Error | undefined): void {
    if (this.#closed) return
    const reason = error ?? new Error('The listener has broken the response off.')
    if (this.#pieces !== undefined) this.#pieces.fail(reason)
    else if (this.answer === undefined) {
      this.answer = brokenOff
      this.#resolve?.(this.answer)
    }
    this.req.destroy()
  }

  #close(): void {
    if (this._closed) return
    this.#closed = true
    this.#stub.rest()
    ListenerRequest.over(this.req)
    this.destroyed = true
    this._closed = true
    this.emit('close')
  }
}

const replacements = Object.fromEntries(
  [
    ...['writeHead', 'flushHeaders', 'write', 'end', 'addTrailers'],
    ...['writeContinue', 'writeProcessing', 'writeEarlyHints'],
  ].map((name) => [name, Reflect.get(ListenerResponse.prototype, name) as unknown]),
)

// What the getters `writableNeedDrain`, and since Node 24 `writableFinished`, look at.
const needDrain = stateOf('kNeedDrain')
const writableFinished = stateOf('kWritableFinished')

function stateOf(name: string): symbol | undefined {
  return Object.getOwnPropertySymbols(new OutgoingMessage()).find(({ description }) => description === name)
}

function isChunk(chunk: unknown): chunk is string | Uint8Array {
  return typeof chunk === 'string' || chunk instanceof Uint8Array
}

function isPairs(fields: Trailers): fields is readonly [string, string][] {
  return Array.isArray(fields)
}

function linesToPairs(lines: string): [name: string, value: string][] {
  return lines.split('\r\n').flatMap((line): [string, string][] => {
    const colon = line.indexOf(': ')
    return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 2)]]
  })
}

// Callers give null for what they leave out, too.
function functionOf(argument: unknown): Callback | undefined {
  return typeof argument === 'function' ? (argument as Callback) : undefined
}

function encodingOf(argument: unknown): BufferEncoding | undefined {
  return typeof argument === 'string' ? (argument as BufferEncoding) : undefined
}

function isUtf8(encoding: BufferEncoding | undefined): boolean {
  return encoding === undefined || encoding === 'utf8' || encoding === 'utf-8'
}

function bytesOf(chunk: string | Uint8Array, encoding: BufferEncoding | undefined): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk
}
