const SLOTS = 512
const LONGEST = 48

/**
 * Turns bytes into strings, remembering short ones: most requests repeat the same paths and names, and comparing
 * a few bytes costs less than making a string.
 */
export class TextCache {
  readonly #slots = new Array<string>(SLOTS).fill('')

  /** `size` bytes from `at` as Latin-1. */
  text(bytes: Buffer, at: number, size: number): string {
    if (size === 0) return ''
    if (size > LONGEST) return bytes.toString('latin1', at, at + size)
    const last = at + size - 1
    const middle = at + (size >> 1)
    const hash = size * 7 + byte(bytes, at) + byte(bytes, middle) * 31 + byte(bytes, last) * 131
    const slot = hash & (SLOTS - 1)
    const known = this.#slots[slot]
    if (known?.length === size && equals(known, bytes, at)) return known
    const made = bytes.toString('latin1', at, at + size)
    this.#slots[slot] = made
    return made
  }
}

function byte(bytes: Buffer, at: number): number {
  return bytes[at] ?? 0
}

function equals(text: string, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < text.length; i += 1) {
    if (text.charCodeAt(i) !== bytes[at + i]) return false
  }
  return true
}
