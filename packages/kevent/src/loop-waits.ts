import type { NativeHandle } from './binding.ts'
import { startConsumption } from './consumption.ts'
import type { Consumption } from './consumption.ts'
import { KEventError } from './errors.ts'
import { KEventList } from './kevent-list.ts'
import type { KEvent } from './kevent-list.ts'

const EBADF = -9
const EINVAL = -22
/** The longest that setTimeout waits, in ms: 24 days. */
const LONGEST = 2 ** 31 - 1

/** Options of {@link KQueue.wait}. */
export interface WaitOptions {
  /** The most events to resolve with; 1 unless told, so that other threads may take the rest. */
  max?: number
  /** Milliseconds to wait; for ever unless told. */
  timeout?: number
  signal?: AbortSignal
}

interface Waiter {
  max: number
  settle(outcome: KEvent[] | Error): void
}

const known = new Set(['max', 'timeout', 'signal'])

/** Promises over a consumption that runs only while somebody waits, and claims only what was asked for. */
export class LoopWaits {
  readonly #native: NativeHandle
  readonly #waiters: Waiter[] = []
  readonly #changes = new KEventList(1)
  #consuming: { readonly waiter: Waiter; readonly consumption: Consumption } | undefined

  constructor(native: NativeHandle) {
    this.#native = native
  }

  wait(options: WaitOptions): Promise<KEvent[]> {
    const { max = 1, timeout, signal } = options
    const wrong = !Number.isInteger(max) || max < 1 || (timeout !== undefined && !(timeout >= 0))
    if (wrong || Object.keys(options).some((key) => !known.has(key))) {
      return Promise.reject(new KEventError(EINVAL, 'kevent'))
    }
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(signal.reason as Error)
        return
      }
      const abort = (): void => {
        this.#leave(waiter, signal?.reason as Error)
      }
      const timer =
        timeout === undefined || timeout === Infinity
          ? undefined
          : setTimeout(
              () => {
                this.#leave(waiter, [])
              },
              Math.min(timeout, LONGEST),
            )
      const waiter: Waiter = {
        max,
        settle: (outcome) => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', abort)
          if (Array.isArray(outcome)) resolve(outcome)
          else reject(outcome)
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiters.push(waiter)
      this.#start()
    })
  }

  /** The queue is closed here: whoever waits is told. */
  end(): void {
    this.#consuming = undefined
    for (const waiter of this.#waiters.splice(0)) waiter.settle(new KEventError(EBADF, 'kevent'))
  }

  #start(): void {
    const waiter = this.#waiters[0]
    if (waiter === undefined || this.#consuming !== undefined) return
    const events = new KEventList(waiter.max)
    try {
      const consumption = startConsumption(this.#native, { changes: this.#changes, events }, (count) => {
        this.#leave(waiter, count < 0 ? new KEventError(count, 'kevent') : events.toArray(count))
        return 0
      })
      this.#consuming = { waiter, consumption }
    } catch (error) {
      this.#leave(waiter, error as KEventError)
    }
  }

  #leave(waiter: Waiter, outcome: KEvent[] | Error): void {
    const index = this.#waiters.indexOf(waiter)
    if (index < 0) return
    this.#waiters.splice(index, 1)
    if (this.#consuming?.waiter === waiter) {
      this.#consuming.consumption.stop()
      this.#consuming = undefined
    }
    waiter.settle(outcome)
    this.#start()
  }
}
