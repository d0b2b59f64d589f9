import { clientGone, Http1Error } from './errors.ts'
import { CONTROL } from './layout.ts'
import type { Memory } from './memory.ts'
import { type Readiness, waitFor, type WhenOver } from './readiness.ts'

// What control[bodyDone] says.
const NOT_DONE = 0
const DONE_WITH_TRAILERS = 2

const EAGAIN = -11
const EPROTO = -71

/** A request body. It can be consumed once, by one of these. */
export interface RequestBody extends AsyncIterable<Uint8Array> {
  /** Whether something has begun to consume it. */
  readonly used: boolean
  /** All bytes. Throws ERR_HTTP_BODY_TOO_LARGE (413) above `limit` bytes, besides what the engine limits. */
  bytes(limit?: number): Promise<Uint8Array>
  arrayBuffer(limit?: number): Promise<ArrayBuffer>
  /** As UTF-8; what is not is replaced by U+FFFD. */
  text(limit?: number): Promise<string>
  /** Throws ERR_HTTP_BODY_MALFORMED (400) when it is not JSON. */
  json(limit?: number): Promise<unknown>
}

/** The connection that a body arrives on, and the request it belongs to. */
export interface BodySource {
  readonly memory: Memory
  readonly readiness: Readiness
  readonly bodyTimeout: number
  readonly bodyRate: number
  readonly descriptor: number
  readonly generation: number
  /** Whether the bytes in hand are all. */
  bodyInHandIsAll(): boolean
  /** Whether trailers followed it, where it is all. */
  hasTrailersInHand(): boolean
  /** A copy of the bytes that came with the head. */
  bodyInHand(): Uint8Array
  /** Whether the connection may be on with its next request, perhaps in another thread. */
  readonly isOver: boolean
  /** No more can be read: the connection has to end after the response. */
  bodyFailed(gone: boolean): void
  /** Calls back when the request is over. */
  readonly whenOver: WhenOver
}

const decoder = new TextDecoder()

export class Body implements RequestBody {
  readonly #source: BodySource
  /** The trailer lines, once the body has been read to its end. */
  trailers: Buffer | undefined = undefined
  #taken: Buffer | undefined = undefined
  #used = false
  #complete = false
  // Milliseconds that the client may still let its reader wait.
  #patience: number

  constructor(source: BodySource) {
    this.#source = source
    this.#patience = source.bodyTimeout
  }

  get used(): boolean {
    return this.#used
  }

  async bytes(limit: number = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
    const pieces: Uint8Array[] = []
    let size = 0
    for await (const piece of this) {
      size += piece.length
      if (size > limit) {
        throw new Http1Error(`The request body is larger than ${limit} bytes.`, {
          code: 'ERR_HTTP_BODY_TOO_LARGE',
          status: 413,
        })
      }
      pieces.push(piece)
    }
    const [only] = pieces
    return pieces.length === 1 && only !== undefined ? only : joined(pieces, size)
  }

  async arrayBuffer(limit?: number): Promise<ArrayBuffer> {
    const bytes = await this.bytes(limit)
    return new Uint8Array(bytes).buffer
  }

  async text(limit?: number): Promise<string> {
    return decoder.decode(await this.bytes(limit))
  }

  async json(limit?: number): Promise<unknown> {
    const text = await this.text(limit)
    try {
      return JSON.parse(text) as unknown
    } catch (cause) {
      const details = { code: 'ERR_HTTP_BODY_MALFORMED', status: 400, cause }
      throw new Http1Error('The request body is not JSON.', details)
    }
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.#used) {
      throw new Http1Error('The request body has been consumed already.', { code: 'ERR_HTTP_BODY_USED' })
    }
    this.#used = true
    const source = this.#source
    const all = source.bodyInHandIsAll()
    const first = source.bodyInHand()
    if (all && source.hasTrailersInHand()) this.#takeTrailers()
    if (first.length > 0) yield first
    if (all) {
      this.trailers = this.#taken
      return
    }
    this.#expectInProgress()
    source.memory.native.continue(source.descriptor, source.generation)
    for (;;) {
      const piece = await this.#next()
      if (piece !== undefined) yield piece
      if (this.#complete) {
        this.trailers = this.#taken
        return
      }
    }
  }

  // At once, while the request is in hand: who reads the last piece may answer before asking for more.
  #takeTrailers(): void {
    const { memory, descriptor, generation, isOver } = this.#source
    // Those on the connection may be of its next request.
    if (!isOver) this.#taken = memory.native.takeTrailers(descriptor, generation)
  }

  #expectInProgress(): void {
    if (!this.#source.isOver) return
    throw new Http1Error(
      'The response was complete before the request body was read to its end. Read it before that.',
      { code: 'ERR_HTTP_REQUEST_OVER' },
    )
  }

  /** The next piece, or undefined at the end. */
  async #next(): Promise<Uint8Array | undefined> {
    const { memory, descriptor, generation } = this.#source
    for (;;) {
      this.#expectInProgress()
      const got = memory.native.readBody(descriptor, generation, memory.piece)
      const done = memory.control[CONTROL.bodyDone] ?? NOT_DONE
      this.#complete = done !== NOT_DONE
      if (done === DONE_WITH_TRAILERS) this.#takeTrailers()
      if (got > 0) {
        this.#regain(got)
        return Uint8Array.prototype.slice.call(memory.piece, 0, got)
      }
      if (got === 0) return undefined
      if (got !== EAGAIN) throw this.#failure(got)
      await this.#wait()
    }
  }

  // Only what is body counts: bytes of chunk sizes, extensions and trailers keep nobody waiting for longer.
  #regain(bytes: number): void {
    const { bodyTimeout, bodyRate } = this.#source
    const earned = bodyRate === 0 ? bodyTimeout : (bytes * 1000) / bodyRate
    this.#patience = Math.min(bodyTimeout, this.#patience + earned)
  }

  async #wait(): Promise<void> {
    const { memory, descriptor, generation, readiness, whenOver } = this.#source
    memory.native.awaitBody(descriptor, generation, 1)
    const since = performance.now()
    const result = await waitFor(readiness.readable(descriptor), this.#patience, whenOver)
    if (result === 'ready') {
      memory.native.awaitBody(descriptor, generation, 0)
      // The thread may have been busy for longer than the client was slow: what has come is looked at first.
      this.#patience = Math.max(0, this.#patience - (performance.now() - since))
      return
    }
    this.#source.bodyFailed(result === 'over')
    if (result === 'over') throw clientGone()
    throw this.#late()
  }

  #late(): Http1Error {
    const { bodyTimeout, bodyRate } = this.#source
    const details = { code: 'ERR_HTTP_BODY_TIMEOUT', status: 408 }
    const problem =
      bodyRate === 0
        ? `No byte of the request body has come for ${bodyTimeout} ms.`
        : `The request body is ${bodyTimeout} ms behind ${bodyRate} bytes a second.`
    return new Http1Error(problem, details)
  }

  #failure(errno: number): Http1Error {
    this.#source.bodyFailed(errno !== EPROTO)
    if (errno !== EPROTO) return clientGone()
    const status = this.#source.memory.control[CONTROL.refusedStatus] ?? 400
    if (status === 413) {
      const details = { code: 'ERR_HTTP_BODY_TOO_LARGE', status }
      return new Http1Error('The request body is larger than this server takes.', details)
    }
    const problem =
      status === 431
        ? 'The trailer fields of the request are too many or too large.'
        : 'The framing of the request body is malformed.'
    return new Http1Error(problem, { code: 'ERR_HTTP_BODY_MALFORMED', status })
  }
}

function joined(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const whole = new Uint8Array(size)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
