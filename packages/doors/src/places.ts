/** A bounded number of places, given out in the order in which they are asked for. */
export class Places {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  get free(): boolean {
    return this.#free > 0
  }

  /** Whether there is one, which is taken then. */
  take(): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /** The same when there is one; false when `signal` was aborted before. */
  async wait(signal: AbortSignal | undefined): Promise<boolean> {
    await this.#turn(signal)
    if (signal?.aborted !== true) return this.take()
    // It may have been woken for a place that it does not take.
    if (this.#free > 0) this.#waiting.shift()?.()
    return false
  }

  give(): void {
    this.#free++
    this.#waiting.shift()?.()
  }

  async #turn(signal: AbortSignal | undefined): Promise<void> {
    while (this.#free === 0 && signal?.aborted !== true) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        signal?.addEventListener(
          'abort',
          () => {
            this.#leave(resolve)
          },
          { once: true },
        )
      })
    }
  }

  #leave(resolve: () => void): void {
    const at = this.#waiting.indexOf(resolve)
    if (at !== -1) this.#waiting.splice(at, 1)
    resolve()
  }
}
