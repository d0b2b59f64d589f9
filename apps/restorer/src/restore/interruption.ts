import { Interrupted } from '../errors.ts'

type Signal = 'SIGINT' | 'SIGTERM'

/** SIGINT and SIGTERM from the first operation on: at first they take the restore back, later they end what it has made. */
export class Interruption implements Disposable {
  readonly #restore = new AbortController()
  #end: (() => void) | undefined

  constructor() {
    process.on('SIGINT', this.#heed).on('SIGTERM', this.#heed)
  }

  /** Takes the restore back. */
  get signal(): AbortSignal {
    return this.#restore.signal
  }

  /** From now on signals are for the processes; one that came too late to take the restore back is passed on at once. */
  passOn(end: () => void): void {
    this.#end = end
    if (this.#restore.signal.aborted) end()
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#heed).off('SIGTERM', this.#heed)
  }

  readonly #heed = (signal: Signal): void => {
    if (this.#end === undefined) this.#restore.abort(new Interrupted(signal))
    else this.#end()
  }
}
