import { ETIMEDOUT } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { WaitOptions } from './options.ts'

interface Entry {
  /** Does it; false when it has to wait longer. */
  attempt: () => boolean
  fail: (error: unknown) => void
  /** What is to be undone besides. */
  settled: () => void
}

/** A promise that fails with whatever it is: the reason of an abort need not be an Error. */
export function rejected(reason: unknown): Promise<never> {
  // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as said
  return Promise.reject(reason)
}

/** Calls that wait in turn for one descriptor. */
export class WaitQueue {
  readonly #entries: Entry[] = []

  get length(): number {
    return this.#entries.length
  }

  /**
   * Waits until `attempt` returns a value; undefined means not yet. `gaveUp` is called when the wait ends without
   * one.
   */
  wait<T>(
    attempt: () => T | undefined,
    { timeout, signal }: WaitOptions,
    syscall: string,
    gaveUp?: () => void,
  ): Promise<T> {
    return new Promise<T>((resolve) => {
      const giveUp = (reason: unknown): void => {
        const at = this.#entries.indexOf(entry)
        if (at >= 0) this.#entries.splice(at, 1)
        entry.fail(reason)
      }
      const onAbort = (): void => {
        giveUp(signal?.reason)
      }
      const timer =
        timeout === undefined || timeout > 0x7fffffff
          ? undefined
          : setTimeout(() => {
              giveUp(new FdPassError(ETIMEDOUT, syscall))
            }, timeout).unref() // whoever waits keeps the process alive, if that is wanted
      const entry: Entry = {
        attempt: () => {
          const value = attempt()
          if (value === undefined) return false
          entry.settled()
          resolve(value)
          return true
        },
        fail: (error) => {
          entry.settled()
          gaveUp?.()
          resolve(rejected(error))
        },
        settled: () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', onAbort)
        },
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#entries.push(entry)
    })
  }

  /** Attempts what waits, in turn, as long as that goes on. */
  run(): void {
    for (let entry = this.#entries[0]; entry !== undefined; entry = this.#entries[0]) {
      try {
        if (!entry.attempt()) return
        this.#entries.shift()
      } catch (error) {
        this.#entries.shift()
        entry.fail(error)
      }
    }
  }

  /** Ends all waits. */
  fail(error: unknown): void {
    for (const entry of this.#entries.splice(0)) entry.fail(error)
  }
}
