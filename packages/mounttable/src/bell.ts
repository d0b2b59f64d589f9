/** What Node 20 has and the ES2023 types lack. */
interface WaitAsync {
  waitAsync(words: Int32Array, index: number, value: number): { readonly value: string | Promise<string> }
}

/**
 * A shared word by which a thread reaches a control thread that it has no port to. It keeps no event loop alive.
 */
export class Bell {
  readonly #words: Int32Array
  readonly #index: number

  constructor(words: Int32Array, index: number) {
    this.#words = words
    this.#index = index
  }

  ring(): void {
    Atomics.add(this.#words, this.#index, 1)
    Atomics.notify(this.#words, this.#index)
  }

  /** Runs `answer` now and after each ring, until it returns false. */
  async listen(answer: () => boolean): Promise<void> {
    for (;;) {
      // Before the answer: what rings during it is heard after it.
      const heard = Atomics.load(this.#words, this.#index)
      if (!answer()) return
      await (Atomics as unknown as WaitAsync).waitAsync(this.#words, this.#index, heard).value
    }
  }
}
