/** The bytes that operations point to, each at a multiple of 8; the same text is there once. */
export class Blobs {
  #memory = new Uint8Array(64 * 1024)
  #used = 0
  readonly #texts = new Map<string, number>()

  /** Its offset. */
  add(bytes: Uint8Array): number {
    const at = this.#used
    this.#makeRoom(at + bytes.length)
    this.#memory.set(bytes, at)
    // Zeroes in between, so that a text is ended even where it fills its last eight.
    this.#used = (at + bytes.length + 8) & ~7
    return at
  }

  text(text: string): number {
    const known = this.#texts.get(text)
    if (known !== undefined) return known
    const at = this.add(Buffer.from(`${text}\0`))
    this.#texts.set(text, at)
    return at
  }

  bytes(): Uint8Array {
    return this.#memory.subarray(0, this.#used)
  }

  #makeRoom(end: number): void {
    if (end + 8 <= this.#memory.length) return
    const larger = new Uint8Array(Math.max(end + 8, this.#memory.length * 2))
    larger.set(this.#memory)
    this.#memory = larger
  }
}
