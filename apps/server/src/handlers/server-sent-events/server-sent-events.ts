import type { ResponseLike } from '../../handler.ts'
import { PieceQueue } from '../piece-queue.ts'
import { commentText, eventText } from './event-text.ts'
import type { ServerSentEvent } from './event-text.ts'

export interface ServerSentEventsOptions {
  /** Ends the stream when it is aborted: the `signal` of the context. */
  signal?: AbortSignal | undefined
  /**
   * Milliseconds without an event after which a comment is sent; 15 000 unless told, 0 for never. A client that has
   * gone is noticed when something is sent.
   */
  heartbeat?: number | undefined
  /** Bytes that may wait for a slow client before it counts as gone; 1 MiB unless told. */
  limit?: number | undefined
  /** Fields of the response besides those of an event stream. */
  headers?: Readonly<Record<string, string>> | undefined
}

const known: readonly string[] = ['signal', 'heartbeat', 'limit', 'headers']
const LONGEST_TIMER = 2_147_483_647
const HIGH_WATER_MARK = 64 * 1024

// An application may have another copy of this package than the server.
const brand = Symbol.for('@x/server.ServerSentEvents')

/**
 * A stream of server-sent events (HTML, 9.2), to be returned by a handler as its response.
 *
 * It ends with `close()`, with the `signal`, or when the client turns out to have gone: `closed` is aborted then. The
 * server closes it when it stops, and when another process has taken over: the client comes back to that one.
 */
export class ServerSentEvents implements ResponseLike {
  readonly status = 200
  readonly headers: Readonly<Record<string, string>>
  readonly body: AsyncIterable<Uint8Array>
  readonly #queue: PieceQueue
  readonly #limit: number
  readonly #closed: AbortController = new AbortController()
  readonly #heartbeat: NodeJS.Timeout | undefined
  readonly #signal: AbortSignal | undefined
  #drained: (() => void)[] = []

  /** @throws {TypeError} for an option that there is not, or that is out of range. */
  constructor(options: ServerSentEventsOptions = {}) {
    const { signal, heartbeat, limit, headers } = checked(options)
    Object.defineProperty(this, brand, { value: true })
    this.headers = {
      'cache-control': 'no-store',
      // What nginx would hold back otherwise.
      'x-accel-buffering': 'no',
      ...headers,
      'content-type': 'text/event-stream',
    }
    this.#limit = limit
    this.#queue = new PieceQueue(
      {
        drained: () => {
          this.#wakeAll()
        },
        finished: () => {
          this.#over()
        },
        gone: () => {
          this.#over()
        },
      },
      Math.min(HIGH_WATER_MARK, limit),
    )
    this.body = this.#queue
    if (heartbeat > 0) {
      this.#heartbeat = setInterval(() => {
        void this.comment('')
      }, heartbeat).unref()
    }
    this.#signal = signal
    if (signal?.aborted === true) this.close()
    else signal?.addEventListener('abort', this.#onAbort)
  }

  static [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value
  }

  /** Aborted when no event can be sent any more: for what produces them. */
  get closed(): AbortSignal {
    return this.#closed.signal
  }

  /**
   * Sends an event. Resolves to whether more is worth sending: false when the stream is over; where the client is
   * slow, not before it has taken what waits. Who does not wait for that loses the client at `limit`.
   * @throws {TypeError} for an event that cannot be sent as it is.
   */
  send(event: ServerSentEvent): Promise<boolean> {
    return this.#write(eventText(event))
  }

  /** Sends a comment, which clients ignore. Resolves as `send`. */
  comment(text: string): Promise<boolean> {
    return this.#write(commentText(text))
  }

  /** Ends the stream behind what was sent. The client will come back, unless it is told not to. */
  close(): void {
    this.#queue.end()
    this.#over()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  async #write(text: string): Promise<boolean> {
    if (this.closed.aborted) return false
    this.#heartbeat?.refresh()
    const goOn = this.#queue.push(Buffer.from(text))
    if (this.#queue.size > this.#limit) {
      this.#queue.fail(
        new Error(`the client of an event stream has left more than ${this.#limit} bytes waiting`),
      )
      this.#over()
    } else if (!goOn) {
      await new Promise<void>((resolve) => {
        this.#drained.push(resolve)
      })
    }
    return !this.closed.aborted
  }

  readonly #onAbort = (): void => {
    this.close()
  }

  #over(): void {
    if (this.closed.aborted) return
    clearInterval(this.#heartbeat)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#closed.abort()
    this.#wakeAll()
  }

  #wakeAll(): void {
    const waiting = this.#drained
    this.#drained = []
    for (const wake of waiting) wake()
  }
}

function checked(
  options: ServerSentEventsOptions,
): Required<Pick<ServerSentEventsOptions, 'signal' | 'headers'>> & { heartbeat: number; limit: number } {
  const unknown = Object.keys(options).find((name) => !known.includes(name))
  if (unknown !== undefined) {
    throw new TypeError(`an event stream has no option ${unknown}; there are ${known.join(', ')}`)
  }
  const { signal, heartbeat = 15_000, limit = 1024 * 1024, headers } = options
  if (!Number.isInteger(heartbeat) || heartbeat < 0 || heartbeat > LONGEST_TIMER) {
    throw new TypeError(`the heartbeat is 0 to ${LONGEST_TIMER} milliseconds, not ${heartbeat}`)
  }
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw new TypeError(`the limit is a number of bytes, at least 1, not ${limit}`)
  }
  return { signal, heartbeat, limit, headers }
}
