import { counterNames } from '@x/http1'
import type { ServerHealth } from '../handler.ts'

/*
 * What the control thread and its workers share without a message: one line of words, a stripe of what counters
 * begin with, then two stripes of counters for each worker: where a worker is renewed, the old thread still answers while
 * the new one serves. A stripe has one writer at a time; it is kept when its thread has ended, and goes to a later one, so
 * that counters never go back.
 */
const HEADER_BYTES = 64
const MODE = 0
const MOUNTS_WANTED = 1
const OPENED = 2
const WORKERS = 3
const ACCEPT_PAUSED = 4

/** Counters of the server's own, behind http1's in each stripe. */
const ownNames = ['acceptPausesLimit', 'acceptPausesDescriptors', 'workerRecycles'] as const
const allNames = [...counterNames, ...ownNames]

// Whole cache lines, so that no two threads write one.
const STRIPE_BYTES = Math.ceil((allNames.length * 8) / 64) * 64

/** What the workers do with connections. */
export const mode = { serving: 0, closing: 1, handingOver: 2 } as const

export class ServerMemory {
  readonly buffer: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #workers: number

  private constructor(buffer: SharedArrayBuffer) {
    this.buffer = buffer
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    this.#workers = ((buffer.byteLength - HEADER_BYTES) / STRIPE_BYTES - 1) / 2
  }

  static create(workers: number): ServerMemory {
    return new ServerMemory(new SharedArrayBuffer(HEADER_BYTES + (1 + 2 * workers) * STRIPE_BYTES))
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

  /** The server accepts connections from now on. */
  open(): void {
    Atomics.store(this.#words, OPENED, 1)
  }

  /** One more worker serves, or one less. */
  countWorker(change: 1 | -1): void {
    Atomics.add(this.#words, WORKERS, change)
  }

  health(): ServerHealth {
    const workers = Atomics.load(this.#words, WORKERS)
    const opened = Atomics.load(this.#words, OPENED) === 1
    const state = this.closing ? 'draining' : opened ? 'running' : 'starting'
    return { ready: state === 'running' && workers > 0, state, workers }
  }

  /** The listener stays out of the queue until somebody gets true from {@link resumeAccepting}. */
  pauseAccepting(): void {
    Atomics.store(this.#words, ACCEPT_PAUSED, 1)
  }

  /** True for the one caller in all threads that has to enable the listener. */
  resumeAccepting(): boolean {
    if (Atomics.load(this.#words, ACCEPT_PAUSED) === 0) return false
    return Atomics.exchange(this.#words, ACCEPT_PAUSED, 0) === 1
  }

  /** The stripes of worker 1 to N. */
  stripesOf(worker: number): readonly [number, number] {
    return [worker, this.#workers + worker]
  }

  /** Adds one to a counter of the server's own, in the thread that writes this stripe. */
  count(number: number, name: (typeof ownNames)[number]): void {
    const stripe = this.#all(number)
    const index = allNames.indexOf(name)
    stripe[index] = (stripe[index] ?? 0) + 1
  }

  /** Whether somebody has asked for the mount table within the last `seconds`. */
  mountsWanted(seconds: number): boolean {
    return nowInSeconds() - Atomics.load(this.#words, MOUNTS_WANTED) <= seconds
  }

  wantMounts(): void {
    Atomics.store(this.#words, MOUNTS_WANTED, nowInSeconds())
  }

  /** The counters of a stripe, in the order of http1's `counterNames`; 0 is what they all begin with. */
  stripe(number: number): Float64Array {
    return new Float64Array(this.buffer, HEADER_BYTES + number * STRIPE_BYTES, counterNames.length)
  }

  /** Nothing has been counted here, while nobody serves. */
  forget(): void {
    for (let number = 1; number <= 2 * this.#workers; number++) this.#all(number).fill(0)
  }

  /** What processes before this one have counted, of which this goes on. */
  setEarlier(counters: Readonly<Record<string, number>>): void {
    this.#all(0).set(allNames.map((name) => counters[name] ?? 0))
  }

  /** Totals by name, and each worker's own as `worker.N.NAME`: see `CounterGroups`. */
  counters(): Record<string, number> {
    const base = this.#all(0)
    const counters: Record<string, number> = Object.fromEntries(
      allNames.map((name, index) => [name, base[index] ?? 0]),
    )
    for (let worker = 1; worker <= this.#workers; worker++) {
      const [first, second] = this.stripesOf(worker)
      const [one, other] = [this.#all(first), this.#all(second)]
      for (const [index, name] of allNames.entries()) {
        const value = (one[index] ?? 0) + (other[index] ?? 0)
        counters[name] = (counters[name] ?? 0) + value
        counters[`worker.${worker}.${name}`] = value
      }
    }
    return counters
  }

  #all(number: number): Float64Array {
    return new Float64Array(this.buffer, HEADER_BYTES + number * STRIPE_BYTES, allNames.length)
  }
}

// Process time, not the clock: it never goes back. Plus one, so that 0 means never.
function nowInSeconds(): number {
  return Math.floor(process.uptime()) + 1
}
