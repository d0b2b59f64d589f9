import { connections, releaseConnection, setHandingOver, takeBack, yielded } from '@x/http1'
import type { KQueue } from '@x/kevent'
import type { DeadlineTimer } from '../teardown/deadline-timer.ts'
import type { ServerMemory } from '../worker/server-memory.ts'
import { serveAgain } from './serve-again.ts'

/** Milliseconds for the workers to let go of connections that wait: one whose handler blocks holds up a few. */
const PATIENCE = 1000
/** Connections that may come while they are counted. */
const ROOM = 1024
/** Milliseconds between two times that they are asked to. */
const AGAIN = 20

export interface DepartureParts {
  readonly queue: KQueue
  readonly memory: ServerMemory
  readonly deadlines: DeadlineTimer
  /** Nobody accepts any more when it resolves. */
  retireListener(): Promise<void>
  acceptAgain(): void
  /** Milliseconds that a connection may wait for its next request. */
  readonly idle: number
  /** Connections are another process's. */
  released(): void
}

/** Takes the connections of this process out of service, and puts them back. */
export class Departure {
  readonly #parts: DepartureParts
  /** Yielded, and in no queue any more. */
  readonly #seen = new Set<number>()
  /** Of those, the ones that nobody has been told of. */
  #fresh: number[] = []
  #handingOver = false
  /** Counts hand-overs, so that what waits for one does not go on in the next. */
  #attempt = 0
  #waiting: (() => void)[] = []

  constructor(parts: DepartureParts) {
    this.#parts = parts
  }

  /** Takes the listener, and all connections that wait for a request, out of service; resolves when they are. */
  async suspend(): Promise<void> {
    this.#handingOver = true
    setHandingOver(true)
    this.#parts.memory.startHandingOver()
    const attempt = ++this.#attempt
    await this.#parts.retireListener()
    if (attempt !== this.#attempt) return
    // Most are let go of at the first time; one that has just been read a part of is forced again.
    const again = setInterval(() => {
      this.changed()
      this.#forceAll()
    }, AGAIN)
    this.#forceAll()
    const until = performance.now() + PATIENCE
    while (attempt === this.#attempt && waiting() > 0 && performance.now() < until) await this.#change()
    clearInterval(again)
  }

  /** The next that are out of service, and in no queue: at most so many. */
  suspended(most: number): number[] {
    if (this.#fresh.length === 0) this.#fresh = this.#look()
    return this.#fresh.splice(0, most)
  }

  /** Whether there are more of them. */
  hasMore(): boolean {
    return this.#fresh.length > 0
  }

  /** Those that have been yielded since the last look. */
  #look(): number[] {
    const list = new Int32Array(connections().open + ROOM)
    const fresh: number[] = []
    for (const descriptor of list.subarray(0, yielded(list))) {
      if (this.#seen.has(descriptor)) continue
      this.#seen.add(descriptor)
      fresh.push(descriptor)
      // Where a request has just been answered, its event is still there, disabled.
      this.#parts.queue.detach(descriptor)
    }
    return fresh
  }

  /** Resolves when there is another one, when no connection is left, or when this hand-over was given up. */
  async another(): Promise<void> {
    const attempt = this.#attempt
    while (attempt === this.#attempt) {
      if (this.#fresh.length === 0) this.#fresh = this.#look()
      if (this.#fresh.length > 0 || connections().open === 0) return
      await this.#change()
    }
  }

  /** Serves all of them again, and the listener. */
  resume(): void {
    this.#attempt++
    this.#handingOver = false
    this.#parts.memory.startServing()
    setHandingOver(false)
    this.#serveAll()
    this.#parts.acceptAgain()
    // Whoever waits for more of this hand-over is told that there is none.
    this.changed()
  }

  /**
   * Takes them back from a process that is dead, by its ledger, in the order in which they were given to it. They are
   * served from {@link resume} on. Returns how many are lost: it had them in hand, or has ended them.
   */
  takeBack(ledger: number, given: readonly number[]): number {
    try {
      return given.length - takeBack(ledger, Int32Array.from(given), this.#parts.idle).length
    } catch {
      // It is no ledger, so nothing is certain.
      this.release(given)
      return given.length
    }
  }

  /** They are another process's. */
  release(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) {
      this.#seen.delete(descriptor)
      releaseConnection(descriptor)
    }
    this.#parts.released()
  }

  /** Connections were taken out of service, or are gone. */
  changed(): void {
    // A worker may have yielded one when the hand-over had just been given up.
    if (!this.#handingOver) this.#serveAll()
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  /** Of a hand-over that was given up: whatever has been yielded, and whoever has been told of it. */
  #serveAll(): void {
    this.#fresh = []
    for (;;) {
      this.#seen.clear()
      const descriptors = this.#look()
      if (descriptors.length === 0) return
      serveAgain(this.#parts.queue, descriptors)
    }
  }

  /** In the far future, every connection that waits for a request is past its deadline. */
  #forceAll(): void {
    this.#parts.deadlines.force(Number.MAX_SAFE_INTEGER)
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

/** Connections that wait for a request, or for the rest of its head. */
function waiting(): number {
  const { idle, reading } = connections()
  return idle + reading
}
