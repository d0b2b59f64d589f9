import { responseError } from './errors.ts'
import type { NativeEngine } from './binding.ts'

/** What a header field means to the one who frames the message. */
export type FieldRole = 'plain' | 'date' | 'length' | 'coding' | 'connection'

/** A field name that has been checked, and the lines made with it that native code knows by number. */
export interface FieldName {
  readonly name: string
  readonly role: FieldRole
  readonly lines: Map<string, number>
}

// Values that differ in each response must not fill the memory: names, lines and their sizes are bounded.
const MOST_NAMES = 256
const MOST_LINES_OF_A_NAME = 16
const LONGEST_LINE = 512

/** The most bytes of fields that a response may have, in its head and behind its body each. */
export const MOST_HEADER_BYTES: number = 48 * 1024

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const invalidValue = /[^\t\x20-\x7e\x80-\xff]/

const roles: Partial<Record<string, FieldRole>> = {
  date: 'date',
  'content-length': 'length',
  'transfer-encoding': 'coding',
  connection: 'connection',
}

// Fields that only a message of another protocol would have, or a request: neither can be sent.
const refused = new Set(['keep-alive', 'proxy-connection', 'te', 'upgrade'])

/** The header lines of responses: checked once, and kept by native code when they come again. */
export class HeaderLines {
  readonly #native: NativeEngine
  readonly #names = new Map<string, FieldName>()

  constructor(native: NativeEngine) {
    this.#native = native
  }

  /** The checked name. Throws ERR_HTTP_RESPONSE when it is not a token or may not be set. */
  name(name: string): FieldName {
    return this.#names.get(name) ?? this.#add(name)
  }

  /** The number of the line, or -1 when it has to be written out: see lineText(). */
  line(field: FieldName, value: string): number {
    return field.lines.get(value) ?? this.#intern(field, value)
  }

  #add(name: string): FieldName {
    checkName(name)
    const lower = name.toLowerCase()
    if (refused.has(lower)) throw responseError(`The header ${name} belongs to the connection: leave it out.`)
    const field = { name, role: roles[lower] ?? 'plain', lines: new Map<string, number>() }
    if (this.#names.size < MOST_NAMES) this.#names.set(name, field)
    return field
  }

  #intern(field: FieldName, value: string): number {
    const text = lineText(field.name, value)
    const full = field.lines.size >= MOST_LINES_OF_A_NAME || !this.#names.has(field.name)
    if (full || text.length > LONGEST_LINE) return -1
    const number = this.#native.addLine(Buffer.from(text, 'latin1'))
    field.lines.set(value, number)
    return number
  }
}

/** Throws ERR_HTTP_RESPONSE when the name is not a token. */
export function checkName(name: string): void {
  if (!token.test(name)) throw responseError(`The header name ${JSON.stringify(name)} is not a token.`)
}

/** The whole line. Throws ERR_HTTP_RESPONSE when the value holds a control character or is not Latin-1. */
export function lineText(name: string, value: string): string {
  if (invalidValue.test(value)) {
    throw responseError(`The value of the header ${name} holds a control character or is not Latin-1.`)
  }
  return `${name}: ${value}\r\n`
}
