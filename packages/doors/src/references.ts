/**
 * Counts what refers to a door: its own handle, its names, and its opens in any process. Told of each change, it says
 * when the last but one has gone.
 */
export class References {
  own = 1
  names = 0
  opens = 0
  #last = 1
  #wasTwo = false
  readonly #changed: (unreferenced: boolean) => void

  /** `changed` is told whether there is one reference left, of two or more. */
  constructor(changed: (unreferenced: boolean) => void) {
    this.#changed = changed
  }

  get total(): number {
    return this.own + this.names + this.opens
  }

  /** After a change of the counts. */
  update(): void {
    const { total } = this
    if (total === this.#last) return
    this.#last = total
    if (total > 1) this.#wasTwo = true
    const unreferenced = total === 1 && this.#wasTwo
    if (total <= 1) this.#wasTwo = false
    this.#changed(unreferenced)
  }
}
