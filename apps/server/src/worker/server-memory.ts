import { counterNames } from '@x/http1'

/*
 * What the control thread and its workers share without a message: one line of words, then a stripe of counters
 * for each worker, and one for what processes before this one have counted. A stripe has one writer at a time, the thread that serves under its number; it is kept when
 * that thread is replaced, so that counters never go back.
 */
const HEADER_BYTES = 64
const MODE = 0
const MOUNTS_WANTED = 1

// Whole cache lines, so that no two threads write one.
const STRIPE_BYTES = Math.ceil((counterNames.length * 8) / 64) * 64

/** What the workers do with connections. */
export const mode = { serving: 0, closing: 1, handingOver: 2 } as const

export class ServerMemory {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #workers: number

  private constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.#workers = (buffer.byteLength - HEADER_BYTES) / STRIPE_BYTES - 1
  }

  static create(workers: number): ServerMemory {
    return new ServerMemory(new SharedArrayBuffer(HEADER_BYTES + (workers + 1) * STRIPE_BYTES))
  }

  static open(buffer: SharedArrayBuffer): ServerMemory {
    return new ServerMemory(buffer)
  }

  /** True from the stop on: every response closes its connection. */
  get closing(): boolean {
    return Atomics.load(this.#words, MODE) === mode.closing
  }

  startClosing(): void {
    Atomics.store(this.#words, MODE, mode.closing)
  }

  /** True while connections that wait for a request are taken out of service, to go to another process. */
  get handingOver(): boolean {
    return Atomics.load(this.#words, MODE) === mode.handingOver
  }

  startHandingOver(): void {
    Atomics.store(this.#words, MODE, mode.handingOver)
  }

  /** The hand-over has come to nothing. */
  startServing(): void {
    Atomics.store(this.#words, MODE, mode.serving)
  }

  /** Whether somebody has asked for the mount table within the last `seconds`. */
  mountsWanted(seconds: number): boolean {
    return nowInSeconds() - Atomics.load(this.#words, MOUNTS_WANTED) <= seconds
  }

  wantMounts(): void {
    Atomics.store(this.#words, MOUNTS_WANTED, nowInSeconds())
  }

  /** The counters of worker 1 to N, in the order of http1's `counterNames`. */
  stripe(worker: number): Float64Array {
    return new Float64Array(this.buffer, HEADER_BYTES + (worker - 1) * STRIPE_BYTES, counterNames.length)
  }

  /** What processes before this one have counted, of which this goes on. */
  setEarlier(counters: Readonly<Record<string, number>>): void {
    const stripe = this.stripe(this.#workers + 1)
    for (const [index, name] of counterNames.entries()) stripe[index] = counters[name] ?? 0
  }

  /** Totals by name, and each worker's own as `worker.N.NAME`: see `CounterGroups`. */
  counters(): Record<string, number> {
    const counters: Record<string, number> = Object.fromEntries(counterNames.map((name) => [name, 0]))
    for (let worker = 1; worker <= this.#workers + 1; worker++) {
      const stripe = this.stripe(worker)
      for (const [index, name] of counterNames.entries()) {
        const value = stripe[index] ?? 0
        counters[name] = (counters[name] ?? 0) + value
        if (worker <= this.#workers) counters[`worker.${worker}.${name}`] = value
      }
    }
    return counters
  }
}

// Process time, not the clock: it never goes back. Plus one, so that 0 means never.
function nowInSeconds(): number {
  return Math.floor(process.uptime()) + 1
}
