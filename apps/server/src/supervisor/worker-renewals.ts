import type { Logger } from 'pino'

/** Renews workers one after the other: never two at a time, whatever is asked for. */
export class WorkerRenewals {
  readonly #renew: (worker: number) => Promise<void>
  readonly #log: Logger
  readonly #wanted = new Set<number>()
  #running = false

  constructor(renew: (worker: number) => Promise<void>, log: Logger) {
    this.#renew = renew
    this.#log = log
  }

  /** A worker that cannot be renewed goes on; it asks again when it has done with the next handler. */
  request(worker: number): void {
    this.#wanted.add(worker)
    if (!this.#running) void this.#run()
  }

  async #run(): Promise<void> {
    this.#running = true
    for (const worker of this.#wanted) {
      try {
        await this.#renew(worker)
      } catch (error) {
        this.#log.warn({ worker, err: error }, 'a worker could not be renewed; it serves on')
      }
      // Last: what it says of itself until then it says of the thread that has been renewed.
      this.#wanted.delete(worker)
    }
    this.#running = false
  }
}
