/** Where a JSON text goes wrong. Lines and columns count from 1, columns in UTF-16 units as editors do. */
export interface JsonSyntaxProblem {
  line: number
  column: number
  /** What stands there: a piece of the text, or 'the end of the file'. */
  found: string
}

// The grammar's own words; JSON forbids control characters in strings.
const space = /[\t\n\r ]*/y
const scalar =
  // eslint-disable-next-line no-control-regex
  /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y

/**
 * Finds the first place where `text` is not JSON (RFC 8259); undefined when it is JSON throughout.
 * The messages of JSON.parse differ between Node's versions and do not always name a place.
 */
export function findJsonSyntaxProblem(text: string): JsonSyntaxProblem | undefined {
  const at = new Scanner(text).firstError()
  if (at === undefined) return undefined
  const before = text.slice(0, at)
  const line = before.split('\n').length
  const column = at - (before.lastIndexOf('\n') + 1) + 1
  const found = /^[\w.+-]{1,20}|^[^]/u.exec(text.slice(at, at + 20))?.[0]
  return { line, column, found: found === undefined ? 'the end of the file' : JSON.stringify(found) }
}

/** A pushdown scanner with a stack of its own, so that deep nesting cannot overflow the call stack. */
class Scanner {
  readonly #text: string
  readonly #open: ('{' | '[')[] = []
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  /** The index of the first character that no JSON text could have there. */
  firstError(): number | undefined {
    do {
      if (!this.#value()) return this.#at
    } while (this.#next === 'value')
    return this.#next === 'end' ? undefined : this.#at
  }

  #next: 'value' | 'end' | 'error' = 'value'

  /** Reads a scalar or opens containers down to one, then closes what ends behind it. */
  #value(): boolean {
    this.#skip(space)
    const opening = this.#text[this.#at]
    if (opening === '{' || opening === '[') {
      this.#at++
      if (!this.#accept(opening === '{' ? '}' : ']')) {
        this.#open.push(opening)
        return opening === '[' || this.#key()
      }
    } else if (!this.#skip(scalar)) {
      return false
    }
    return this.#afterValue()
  }

  #afterValue(): boolean {
    for (;;) {
      const container = this.#open.at(-1)
      if (container === undefined) {
        this.#skip(space)
        this.#next = this.#at === this.#text.length ? 'end' : 'error'
        return this.#next === 'end'
      }
      if (this.#accept(',')) return container === '[' || this.#key()
      if (!this.#accept(container === '{' ? '}' : ']')) return false
      this.#open.pop()
    }
  }

  #key(): boolean {
    this.#skip(space)
    return this.#text[this.#at] === '"' && this.#skip(scalar) && this.#accept(':')
  }

  #accept(character: string): boolean {
    this.#skip(space)
    if (this.#text[this.#at] !== character) return false
    this.#at++
    return true
  }

  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    if (!pattern.test(this.#text)) return false
    this.#at = pattern.lastIndex
    return true
  }
}
