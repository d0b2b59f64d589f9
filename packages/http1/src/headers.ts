import { FIELD_STRIDE } from './layout.ts'
import type { TextCache } from './text-cache.ts'

/** The header fields of a request. Names are compared without regard to case; values are Latin-1 text. */
export interface HttpHeaders extends Iterable<[name: string, value: string]> {
  /** The value; several fields of the name are joined by ', ' (Cookie: by '; ', RFC 6265 5.4). */
  get(name: string): string | undefined
  has(name: string): boolean
  /** The values in the order of the fields. */
  getAll(name: string): string[]
  /** Names in lower case with values, a pair a field, in the order of the fields. */
  entries(): IterableIterator<[name: string, value: string]>
  [Symbol.iterator](): IterableIterator<[name: string, value: string]>
}

/** Where the fields of a request lie; moves when the request is detached from the arena. */
export interface FieldSource {
  readonly texts: TextCache
  /** Throws ERR_HTTP_REQUEST_OVER when the bytes are gone. */
  fieldSpans(): { bytes: Buffer; fields: Int32Array; at: number; count: number; shift: number }
}

const CASE_BIT = 0x20

export class FieldView implements HttpHeaders {
  readonly #source: FieldSource

  constructor(source: FieldSource) {
    this.#source = source
  }

  get(name: string): string | undefined {
    const { bytes, fields, at, count, shift } = this.#source.fieldSpans()
    let joined: string | undefined
    for (let i = 0; i < count; i += 1) {
      const entry = at + i * FIELD_STRIDE
      if (fields[entry + 1] !== name.length || !matches(name, bytes, number(fields, entry) - shift)) continue
      const value = this.#source.texts.text(
        bytes,
        number(fields, entry + 2) - shift,
        number(fields, entry + 3),
      )
      joined = joined === undefined ? value : joined + (isCookie(name) ? '; ' : ', ') + value
    }
    return joined
  }

  has(name: string): boolean {
    const { bytes, fields, at, count, shift } = this.#source.fieldSpans()
    for (let i = 0; i < count; i += 1) {
      const entry = at + i * FIELD_STRIDE
      if (fields[entry + 1] === name.length && matches(name, bytes, number(fields, entry) - shift))
        return true
    }
    return false
  }

  getAll(name: string): string[] {
    const wanted = name.toLowerCase()
    return [...this.entries()].filter(([own]) => own === wanted).map(([, value]) => value)
  }

  *entries(): IterableIterator<[name: string, value: string]> {
    const { count } = this.#source.fieldSpans()
    for (let i = 0; i < count; i += 1) {
      // Asked for anew each time, for the request may be detached while the iterator rests.
      const { bytes, fields, at, shift } = this.#source.fieldSpans()
      const entry = at + i * FIELD_STRIDE
      const name = this.#source.texts.text(bytes, number(fields, entry) - shift, number(fields, entry + 1))
      const value = this.#source.texts.text(
        bytes,
        number(fields, entry + 2) - shift,
        number(fields, entry + 3),
      )
      yield [name.toLowerCase(), value]
    }
  }

  [Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    return this.entries()
  }
}

function number(list: Int32Array, at: number): number {
  return list[at] ?? 0
}

// Folds letters only: other token characters that differ in the case bit are different names.
function matches(name: string, bytes: Buffer, at: number): boolean {
  for (let i = 0; i < name.length; i += 1) {
    const wanted = name.charCodeAt(i)
    const given = bytes[at + i] ?? 0
    if (wanted === given) continue
    const folded = wanted | CASE_BIT
    if (folded !== (given | CASE_BIT) || folded < 0x61 || folded > 0x7a) return false
  }
  return true
}

function isCookie(name: string): boolean {
  return name.length === 6 && name.toLowerCase() === 'cookie'
}
