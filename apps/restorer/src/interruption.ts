import { Interrupted } from './errors.ts'

type Signal = 'SIGINT' | 'SIGTERM'

/** SIGINT and SIGTERM while something can be taken back: they ask for that. Later they may be for somebody else. */
export class Interruption implements Disposable {
  readonly #takingBack = new AbortController()
  #end: (() => void) | undefined

  constructor() {
    process.on('SIGINT', this.#heed).on('SIGTERM', this.#heed)
  }

  /** Takes back what was begun. */
  get signal(): AbortSignal {
    return this.#takingBack.signal
  }

  /** From now on signals are for the processes; one that came too late to take anything back is passed on at once. */
  passOn(end: () => void): void {
    this.#end = end
    if (this.#takingBack.signal.aborted) end()
  }

  [Symbol.dispose](): void {
    process.off('SIGINT', this.#heed).off('SIGTERM', this.#heed)
  }

  readonly #heed = (signal: Signal): void => {
    if (this.#end === undefined) this.#takingBack.abort(new Interrupted(signal))
    else this.#end()
  }
}
