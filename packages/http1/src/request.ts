import { binding } from './binding.ts'
import { Body, type BodySource, type RequestBody } from './body.ts'
import { clientGone, Http1Error } from './errors.ts'
import { FieldView, type FieldSource, type HttpHeaders } from './headers.ts'
import { FIELD_STRIDE, METHODS, type Method, RECORD, RECORD_FLAG, RECORD_STRIDE } from './layout.ts'
import type { Memory } from './memory.ts'
import type { Readiness, WhenOver } from './readiness.ts'
import type { TextCache } from './text-cache.ts'
import { noTrailers, trailerView } from './trailers.ts'

/**
 * A request. What is not asked for is never made. It can be read until its response is complete; after that,
 * what has not been read before throws ERR_HTTP_REQUEST_OVER.
 */
export interface HttpRequest {
  /** Names the request in this process, as "descriptor.generation.sequence". */
  readonly id: string
  /** The connection's descriptor; borrowed. */
  readonly descriptor: number
  readonly method: Method
  /** As received: "/path?query", "http://host/path", or "*". */
  readonly target: string
  /** The path of the target, never empty, as received: percent-encoding is left as it is. */
  readonly path: string
  /** What follows the '?', or undefined without one. */
  readonly query: string | undefined
  readonly version: '1.0' | '1.1'
  readonly headers: HttpHeaders
  /** Host and port that the request is for: of the target in absolute-form, else the Host field; or ''. */
  readonly host: string
  /** Of the client; undefined for a Unix socket and once the connection is closed. */
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  /** Whether the client lets the connection go on after this request. */
  readonly keepAlive: boolean
  readonly body: RequestBody
  /**
   * The fields that followed the body: empty until it has been read to its end, and without those that must not be
   * there (RFC 9110 section 6.5.1). They are never among the headers.
   */
  readonly trailers: HttpHeaders
  /** Whether a response has been given. */
  readonly answered: boolean
  /** Aborts when the client turns out to be gone before the response is complete. */
  readonly signal: AbortSignal
  bytes(limit?: number): Promise<Uint8Array>
  arrayBuffer(limit?: number): Promise<ArrayBuffer>
  text(limit?: number): Promise<string>
  json(limit?: number): Promise<unknown>
}

/** What requests of one engine have in common. */
export interface RequestContext {
  readonly memory: Memory
  readonly texts: TextCache
  readonly readiness: Readiness
  readonly bodyTimeout: number
  readonly bodyRate: number
}

const NOTHING = new Int32Array(0)
let sequence = 0

export class Request implements HttpRequest, FieldSource, BodySource {
  readonly #context: RequestContext
  readonly descriptor: number
  readonly generation: number
  /** Set when a response has been taken: no second one is. */
  answered = false
  /** Set when the body cannot be read to its end, so that the connection must close. */
  mustClose = false
  // The record: in the engine's list, or a copy of it after detach().
  #record: Int32Array
  #base: number
  #bytes: Buffer
  #fields: Int32Array
  #shift = 0
  #detached = false
  #path: string | undefined = undefined
  #headers: FieldView | undefined = undefined
  #body: Body | undefined = undefined
  #trailers: HttpHeaders | undefined = undefined
  #controller: AbortController | undefined = undefined
  #gone = false
  #isComplete = false
  #waiting: Set<() => void> | undefined = undefined
  #sequence = 0

  constructor(context: RequestContext, index: number) {
    const { memory } = context
    this.#context = context
    this.#record = memory.records
    this.#base = index * RECORD_STRIDE
    this.#bytes = memory.arena
    this.#fields = memory.fields
    this.descriptor = this.#number(RECORD.descriptor)
    this.generation = this.#number(RECORD.generation)
  }

  get id(): string {
    if (this.#sequence === 0) this.#sequence = ++sequence
    return `${this.descriptor}.${this.generation >>> 1}.${this.#sequence}`
  }

  get method(): Method {
    return METHODS[this.#number(RECORD.method)] ?? 'GET'
  }

  get target(): string {
    return this.#text(RECORD.target)
  }

  get path(): string {
    this.#path ??= this.#text(RECORD.path) || '/'
    return this.#path
  }

  get query(): string | undefined {
    return this.#flag(RECORD_FLAG.hasQuery) ? this.#text(RECORD.query) : undefined
  }

  get version(): '1.0' | '1.1' {
    return this.#flag(RECORD_FLAG.minorZero) ? '1.0' : '1.1'
  }

  get headers(): HttpHeaders {
    this.#headers ??= new FieldView(this)
    return this.#headers
  }

  get host(): string {
    return this.#text(RECORD.host)
  }

  get remoteAddress(): string | undefined {
    const peer = binding.peerAddress(this.descriptor, this.generation)
    return 'errno' in peer || peer.family === 0 ? undefined : peer.host
  }

  get remotePort(): number | undefined {
    const peer = binding.peerAddress(this.descriptor, this.generation)
    return 'errno' in peer || peer.family === 0 ? undefined : peer.port
  }

  get keepAlive(): boolean {
    return this.#flag(RECORD_FLAG.keepAlive)
  }

  get body(): RequestBody {
    this.#body ??= new Body(this)
    return this.#body
  }

  get trailers(): HttpHeaders {
    const lines = this.#body?.trailers
    if (lines === undefined) return noTrailers
    this.#trailers ??= trailerView(lines, this.#context.texts)
    return this.#trailers
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#gone) this.#controller.abort(clientGone())
    }
    return this.#controller.signal
  }

  bytes(limit?: number): Promise<Uint8Array> {
    return this.body.bytes(limit)
  }

  arrayBuffer(limit?: number): Promise<ArrayBuffer> {
    return this.body.arrayBuffer(limit)
  }

  text(limit?: number): Promise<string> {
    return this.body.text(limit)
  }

  json(limit?: number): Promise<unknown> {
    return this.body.json(limit)
  }

  // What follows is for the engine and its parts; HttpRequest does not show it.

  get isHead(): boolean {
    return this.#number(RECORD.method) === 1
  }

  get isMinorZero(): boolean {
    return this.#flag(RECORD_FLAG.minorZero)
  }

  get isGone(): boolean {
    return this.#gone
  }

  get isOver(): boolean {
    return this.#isComplete
  }

  get memory(): Memory {
    return this.#context.memory
  }

  get texts(): TextCache {
    return this.#context.texts
  }

  get readiness(): Readiness {
    return this.#context.readiness
  }

  get bodyTimeout(): number {
    return this.#context.bodyTimeout
  }

  get bodyRate(): number {
    return this.#context.bodyRate
  }

  fieldSpans(): { bytes: Buffer; fields: Int32Array; at: number; count: number; shift: number } {
    return {
      bytes: this.#bytes,
      fields: this.#fields,
      at: this.#number(RECORD.fieldsAt),
      count: this.#number(RECORD.fieldCount),
      shift: this.#shift,
    }
  }

  bodyInHandIsAll(): boolean {
    return !this.#flag(RECORD_FLAG.hasBody) || this.#flag(RECORD_FLAG.bodyComplete)
  }

  hasTrailersInHand(): boolean {
    return this.#flag(RECORD_FLAG.hasTrailers)
  }

  bodyInHand(): Uint8Array {
    const at = this.#number(RECORD.bodyAt) - this.#shift
    return Uint8Array.prototype.slice.call(this.#bytes, at, at + this.#number(RECORD.bodySize))
  }

  bodyFailed(gone: boolean): void {
    this.mustClose = true
    if (gone) this.clientGone()
  }

  get whenOver(): WhenOver {
    return (end) => {
      const waiting = (this.#waiting ??= new Set())
      waiting.add(end)
      return () => waiting.delete(end)
    }
  }

  /** The response is complete, or never will be: whoever waits for the connection is told. */
  over(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    for (const end of waiting) end()
  }

  clientGone(): void {
    if (this.#gone) return
    this.#gone = true
    this.#controller?.abort(clientGone())
    this.over()
  }

  /** The arena is about to be used anew: keeps what may still be asked for. */
  detach(): void {
    if (this.#detached) return
    this.#detached = true
    if (this.answered && this.#isComplete) {
      this.#record = NOTHING
      this.#headers = undefined
      return
    }
    const start = this.#number(RECORD.start)
    const at = this.#number(RECORD.fieldsAt)
    this.#bytes = Buffer.from(this.#bytes.subarray(start, this.#number(RECORD.end)))
    this.#fields = this.#fields.slice(at, at + this.#number(RECORD.fieldCount) * FIELD_STRIDE)
    this.#record = this.#record.slice(this.#base, this.#base + RECORD_STRIDE)
    this.#record[RECORD.fieldsAt] = 0
    this.#base = 0
    this.#shift = start
  }

  /** The response was taken whole: nothing of the request will be needed by the engine. */
  complete(): void {
    this.#isComplete = true
  }

  #number(field: number): number {
    const value = this.#record[this.#base + field]
    if (value === undefined) {
      throw new Http1Error(
        'The request is over. Read what you need of it before its response is complete, or keep a copy.',
        { code: 'ERR_HTTP_REQUEST_OVER' },
      )
    }
    return value
  }

  #flag(flag: number): boolean {
    return (this.#number(RECORD.flags) & flag) !== 0
  }

  #text(field: number): string {
    const at = this.#number(field) - this.#shift
    return this.#context.texts.text(this.#bytes, at, this.#number(field + 1))
  }
}
