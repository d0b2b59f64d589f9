import { FieldView, type FieldSource, type HttpHeaders } from './headers.ts'
import { FIELD_STRIDE } from './layout.ts'
import { TextCache } from './text-cache.ts'

const CR = 0x0d
const LF = 0x0a
const COLON = 0x3a
const SPACE = 0x20
const TAB = 0x09

// By the kinds that RFC 9110 section 6.5.1 and, with examples, RFC 7230 section 4.1.2 name. Fields that nobody has heard of
// may be trailers.
const forbidden: ReadonlySet<string> = new Set(
  [
    // The framing of the message, and its connection.
    'transfer-encoding content-length trailer te connection keep-alive proxy-connection upgrade',
    // Routing.
    'host',
    // Request modifiers: controls and conditions.
    'cache-control expect max-forwards pragma range',
    'if-match if-none-match if-modified-since if-unmodified-since if-range',
    // Authentication; Authentication-Info may follow where the scheme says so (RFC 9110 section 11.6.3).
    'authorization proxy-authorization www-authenticate proxy-authenticate cookie set-cookie',
    // Control of the response.
    'age date expires location retry-after vary warning',
    // How the content is to be processed.
    'content-encoding content-type content-range',
  ].flatMap((names) => names.split(' ')),
)

/**
 * Whether a field may stand behind a body. Not those that say how a message is framed, routed, authenticated or
 * processed, for they are needed before it: RFC 9110 section 6.5.1.
 */
export function mayBeTrailer(name: string): boolean {
  return !forbidden.has(name.toLowerCase())
}

/** Trailer lines that native code has checked, each with its CRLF. Those that must not be trailers are passed over. */
class TrailerLines implements FieldSource {
  readonly texts: TextCache
  readonly #bytes: Buffer
  #fields: Int32Array | undefined

  constructor(bytes: Buffer, texts: TextCache) {
    this.#bytes = bytes
    this.texts = texts
  }

  fieldSpans(): { bytes: Buffer; fields: Int32Array; at: number; count: number; shift: number } {
    const fields = (this.#fields ??= spansOf(this.#bytes))
    return { bytes: this.#bytes, fields, at: 0, count: fields.length / FIELD_STRIDE, shift: 0 }
  }
}

export function trailerView(lines: Buffer, texts: TextCache): HttpHeaders {
  return new FieldView(new TrailerLines(lines, texts))
}

/** Of a request without trailers, or whose body has not been read to its end. */
export const noTrailers: HttpHeaders = trailerView(Buffer.alloc(0), new TextCache())

function spansOf(bytes: Buffer): Int32Array {
  const spans: number[] = []
  for (let at = 0; at < bytes.length;) {
    const colon = bytes.indexOf(COLON, at)
    const next = bytes.indexOf(LF, colon) + 1
    if (mayBeTrailer(bytes.toString('latin1', at, colon))) {
      const [value, end] = trimmed(bytes, colon + 1, next)
      spans.push(at, colon - at, value, end - value)
    }
    at = next
  }
  return Int32Array.from(spans)
}

function trimmed(bytes: Buffer, from: number, to: number): [from: number, to: number] {
  let start = from
  let end = to
  while (start < end && isBlank(bytes[start])) start += 1
  while (end > start && isBlank(bytes[end - 1])) end -= 1
  return [start, end]
}

function isBlank(byte: number | undefined): boolean {
  return byte === SPACE || byte === TAB || byte === CR || byte === LF
}
