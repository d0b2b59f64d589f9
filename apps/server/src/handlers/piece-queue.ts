/** What the owner of a queue is told. */
export interface PieceQueueOwner {
  /** All that was pushed has been taken, after push() has returned false. */
  drained(): void
  /** The last piece has been taken, after end(). */
  finished(): void
  /** The reader has left before the end: the client is gone, or the response could not be sent. */
  gone(): void
}

/** Called when the socket has a piece, or with the reason why it never will. */
type Taken = (error?: Error) => void

interface Piece {
  readonly bytes: Uint8Array
  readonly taken: Taken | undefined
}

// What has gathered is sent as one piece up to this size.
const MOST_JOINED = 64 * 1024

/**
 * The body of a response as it is written: pushed by a handler, pulled by the engine, which asks for the next piece
 * when the socket has taken the last.
 */
export class PieceQueue implements AsyncIterableIterator<Uint8Array> {
  readonly #owner: PieceQueueOwner
  readonly #highWaterMark: number
  #waiting: Piece[] = []
  /** Handed to the engine, and perhaps not yet to the socket. */
  #sending: Piece[] = []
  #size = 0
  #needsDrain = false
  #ended = false
  #over = false
  #failure: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined

  /** `highWaterMark` is how many bytes may wait before push() returns false. */
  constructor(owner: PieceQueueOwner, highWaterMark: number) {
    this.#owner = owner
    this.#highWaterMark = highWaterMark
  }

  /** Bytes that no socket has taken yet. */
  get size(): number {
    return this.#size
  }

  get needsDrain(): boolean {
    return this.#needsDrain
  }

  /** Returns whether more should be pushed before the owner is told that the queue is drained. */
  push(bytes: Uint8Array, taken?: Taken): boolean {
    if (this.#over) {
      if (taken !== undefined) process.nextTick(taken, new Error('The response is over.'))
      return false
    }
    this.#waiting.push({ bytes, taken })
    this.#size += bytes.length
    this.#needsDrain ||= this.#size >= this.#highWaterMark
    this.#wake?.()
    return !this.#needsDrain
  }

  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** Breaks the response off: the client sees that it is not complete. */
  fail(error: unknown): void {
    this.#failure = { error }
    this.#wake?.()
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#settle()
    for (;;) {
      if (this.#failure !== undefined) {
        const { error } = this.#failure
        this.#drop(
          error instanceof Error ? error : new Error('The response was broken off.', { cause: error }),
        )
        throw error
      }
      if (this.#waiting.length > 0) return { done: false, value: this.#take() }
      if (this.#ended) {
        this.#over = true
        this.#owner.finished()
        return { done: true, value: undefined }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }

  return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#over) {
      this.#drop(new Error('The client is gone.'))
      this.#owner.gone()
    }
    return Promise.resolve({ done: true, value: undefined })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #drop(reason: Error): void {
    this.#over = true
    for (const { taken } of [...this.#sending.splice(0), ...this.#waiting.splice(0)]) taken?.(reason)
  }

  /** The piece that was taken last is with the socket. */
  #settle(): void {
    const sent = this.#sending
    if (sent.length === 0) return
    this.#sending = []
    for (const { bytes, taken } of sent) {
      this.#size -= bytes.length
      taken?.()
    }
    if (!this.#needsDrain || this.#size > 0) return
    this.#needsDrain = false
    this.#owner.drained()
  }

  #take(): Uint8Array {
    let size = 0
    let count = 0
    for (const { bytes } of this.#waiting) {
      if (count > 0 && size + bytes.length > MOST_JOINED) break
      size += bytes.length
      count++
    }
    this.#sending = this.#waiting.splice(0, count)
    const [only] = this.#sending
    if (count === 1 && only !== undefined) return only.bytes
    return Buffer.concat(
      this.#sending.map(({ bytes }) => bytes),
      size,
    )
  }
}
