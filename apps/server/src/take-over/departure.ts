import { connections, releaseConnection, setHandingOver, yielded } from '@x/http1'
import type { KQueue } from '@x/kevent'
import type { DeadlineTimer } from '../supervisor/deadline-timer.ts'
import type { ServerMemory } from '../worker/server-memory.ts'
import type { Departing } from './hand-over.ts'
import { serveAgain } from './serve-again.ts'

/** Milliseconds for the workers to let go of connections that wait: one whose handler blocks holds up a few. */
const PATIENCE = 1000

export interface DepartureParts {
  readonly queue: KQueue
  readonly memory: ServerMemory
  readonly deadlines: DeadlineTimer
  readonly listener: number
  readonly host: string
  readonly port: number
  stopping(): boolean
  /** Nobody accepts any more when it resolves. */
  retireListener(): Promise<void>
  acceptAgain(): void
  /** The listener and the names are another process's. */
  depart(): void
  /** Connections are another process's. */
  released(): void
}

/** Takes the connections of this process out of service, and puts them back. */
export class Departure implements Departing {
  readonly #parts: DepartureParts
  readonly #list = new Int32Array(65_536)
  #handingOver = false
  #waiting: (() => void)[] = []

  constructor(parts: DepartureParts) {
    this.#parts = parts
  }

  get listener(): number {
    return this.#parts.listener
  }

  get host(): string {
    return this.#parts.host
  }

  get port(): number {
    return this.#parts.port
  }

  get stopping(): boolean {
    return this.#parts.stopping()
  }

  connections(): number {
    return connections().open
  }

  counters(): Record<string, number> {
    return this.#parts.memory.counters()
  }

  async suspend(): Promise<void> {
    this.#handingOver = true
    setHandingOver(true)
    this.#parts.memory.startHandingOver()
    await this.#parts.retireListener()
    const late = setTimeout(() => {
      this.changed()
    }, PATIENCE)
    const until = performance.now() + PATIENCE
    for (let left = waiting(); left > 0 && performance.now() < until; left = waiting()) {
      // In the far future, every connection that waits for a request is past its deadline.
      this.#parts.deadlines.force(Number.MAX_SAFE_INTEGER)
      await this.#change()
    }
    clearTimeout(late)
  }

  suspended(most: number): number[] {
    const count = Math.min(yielded(this.#list), most)
    const descriptors = Array.from(this.#list.subarray(0, count))
    // Where a request has just been answered, its event is still there, disabled.
    for (const descriptor of descriptors) this.#parts.queue.detach(descriptor)
    return descriptors
  }

  async another(): Promise<void> {
    while (connections().open > 0 && yielded(this.#list) === 0) await this.#change()
  }

  resume(): void {
    this.#handingOver = false
    this.#parts.memory.startServing()
    setHandingOver(false)
    this.#serveAll()
    this.#parts.acceptAgain()
  }

  release(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) releaseConnection(descriptor)
    this.#parts.released()
  }

  depart(): void {
    this.#parts.depart()
  }

  /** Connections were taken out of service, or are gone. */
  changed(): void {
    // A worker may have yielded one when the hand-over had just been given up.
    if (!this.#handingOver) this.#serveAll()
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  #serveAll(): void {
    serveAgain(this.#parts.queue, this.suspended(this.#list.length))
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
