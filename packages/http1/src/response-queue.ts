import { responseError } from './errors.ts'
import { FileBody } from './file-body.ts'
import { type FieldName, type HeaderLines, lineText, MOST_HEADER_BYTES } from './header-lines.ts'
import { ENTRY, ENTRY_LINES, ENTRY_STRIDE, FLAG, KIND, LENGTH, LENGTH_STRIDE } from './layout.ts'
import type { Memory } from './memory.ts'
import type { Request } from './request.ts'
import {
  checkStatus,
  discardBody,
  invalidBody,
  isStreamed,
  type LaterTrailers,
  type ResponseBody,
  type ResponseHeaders,
  type ResponseLike,
  type StreamedBody,
} from './response.ts'
import { knownLines } from './response-trailers.ts'

// What is copied beside the head instead of being handed over by reference.
const SHORT_TEXT = 64
const MOST_TEXT_COPIED = 5000
const MOST_BYTES_COPIED = 4096

/** What is still to be done for an entry after the flush that wrote its head. */
export interface Transfer {
  readonly request: Request
  readonly bytes?: Uint8Array
  readonly file?: FileBody
  readonly stream?: StreamedResponse
}

/** A body that is sent piece by piece after its head. */
export interface StreamedResponse {
  readonly body: StreamedBody
  /** When the headers announced it. */
  readonly length: number | undefined
  readonly chunked: boolean
  /** What follows a body that is chunked: lines, or what they will come from. */
  readonly trailers: string | LaterTrailers | undefined
  /** To be called when the head has been handed to the socket, or never will be. */
  headWritten: () => void
}

/** The responses of a turn, as entries that one native call writes. */
export class ResponseQueue {
  readonly #memory: Memory
  readonly #lines: HeaderLines
  count = 0
  /** By entry; only those that need more than their entry are set. */
  transfers: (Transfer | undefined)[] = []
  hasTransfers = false
  references: Uint8Array[] = []
  #outUsed = 0

  // The entry that is being made. Nothing of it counts before #commit().
  #at = 0
  #out = 0
  #extraAt = 0
  #flags = 0
  #lineCount = 0
  #declared = -1
  #trailers: string | LaterTrailers | undefined = undefined

  constructor(memory: Memory, lines: HeaderLines) {
    this.#memory = memory
    this.#lines = lines
  }

  /** Everything has been taken by a flush. */
  reset(): void {
    this.count = 0
    this.#outUsed = 0
    if (this.references.length > 0) this.references = []
    if (this.hasTransfers) this.transfers = []
    this.hasTransfers = false
  }

  /** Queues the end of a response that went on after its entry, or the end of its connection. */
  pushEnd(descriptor: number, generation: number, kind: typeof KIND.finish | typeof KIND.abort): void {
    const at = this.#reserve()
    const { entries } = this.#memory
    entries[at + ENTRY.descriptor] = descriptor
    entries[at + ENTRY.generation] = generation
    entries[at + ENTRY.kind] = kind
    entries[at + ENTRY.flags] = 0
    this.count += 1
  }

  /**
   * Queues a response. Returns what has to be streamed after its head, if anything.
   * Throws ERR_HTTP_RESPONSE before anything of it is queued.
   */
  push(request: Request, response: ResponseLike): Transfer | undefined {
    const status = checkStatus(response.status)
    this.#at = this.#reserve()
    this.#out = this.#extraAt = this.#outUsed
    this.#flags = request.mustClose ? FLAG.close : 0
    this.#lineCount = 0
    this.#declared = -1
    const { entries } = this.#memory
    entries[this.#at + ENTRY.status] = status
    if (response.headers !== undefined) this.#headers(response.headers)
    const extraSize = this.#out - this.#extraAt
    if (extraSize > MOST_HEADER_BYTES)
      throw responseError(`The response has more than ${MOST_HEADER_BYTES} bytes of headers.`)
    entries[this.#at + ENTRY.extraAt] = this.#extraAt
    entries[this.#at + ENTRY.extraSize] = extraSize
    const { trailers } = response
    this.#trailers = trailers === undefined ? undefined : knownLines(trailers)
    const transfer = this.#body(request, status, response.body)
    this.#commit(request, transfer)
    return transfer
  }

  #reserve(): number {
    if (this.count === this.#memory.capacity) this.#memory.growEntries(this.count * 2)
    return this.count * ENTRY_STRIDE
  }

  #commit(request: Request, transfer: Transfer | undefined): void {
    const { entries } = this.#memory
    const at = this.#at
    entries[at + ENTRY.descriptor] = request.descriptor
    entries[at + ENTRY.generation] = request.generation
    entries[at + ENTRY.kind] = KIND.response
    entries[at + ENTRY.flags] = this.#flags
    entries[at + ENTRY.lineCount] = this.#lineCount
    this.#outUsed = this.#out
    if (transfer !== undefined) {
      this.transfers[this.count] = transfer
      this.hasTransfers = true
    }
    this.count += 1
  }

  #headers(headers: ResponseHeaders): void {
    if (isIterable(headers)) {
      for (const [name, value] of headers) this.#field(name, value)
      return
    }
    for (const name in headers) {
      const value = headers[name]
      if (typeof value === 'string') this.#field(name, value)
      else if (typeof value === 'number') this.#field(name, String(value))
      else if (Array.isArray(value)) for (const one of value as readonly string[]) this.#field(name, one)
      else throw responseError(`The value of the header ${name} is a string, a number or a list of strings.`)
    }
  }

  #field(name: string, value: string): void {
    const field = this.#lines.name(name)
    if (field.role !== 'plain' && !this.#special(field, value)) return
    const line = this.#lineCount < ENTRY_LINES ? this.#lines.line(field, value) : -1
    if (line >= 0) {
      this.#memory.entries[this.#at + ENTRY.firstLine + this.#lineCount] = line
      this.#lineCount += 1
      return
    }
    const text = lineText(field.name, value)
    this.#room(text.length)
    this.#out += this.#memory.out.write(text, this.#out, 'latin1')
  }

  // Fields that frame the message are checked, and written by native code. Returns whether the line is kept.
  #special(field: FieldName, value: string): boolean {
    switch (field.role) {
      case 'date':
        this.#flags |= FLAG.ownDate
        return true
      case 'length':
        if (!/^\d{1,15}$/.test(value) || this.#declared >= 0) {
          throw responseError(`The Content-Length ${value} is not one decimal number.`)
        }
        this.#declared = Number(value)
        return false
      case 'coding':
        if (value.toLowerCase() !== 'chunked') throw responseError('The only transfer coding is chunked.')
        return false
      case 'connection':
        if (value.toLowerCase() === 'close') this.#flags |= FLAG.close
        else if (value.toLowerCase() !== 'keep-alive') {
          throw responseError(`The Connection field is close or keep-alive, not ${value}.`)
        }
        return false
      case 'plain':
        return true
    }
  }

  #room(size: number): void {
    if (this.#out + size > this.#memory.out.length) this.#memory.growOut(this.#out + size)
  }

  #body(request: Request, status: number, body: ResponseBody | undefined): Transfer | undefined {
    if (status === 204 || status === 304) {
      if (status === 304 && this.#declared >= 0) this.#length(this.#declared)
      discardBody(body)
      return undefined
    }
    // Reset Content has none either, but says so by its length (RFC 9110 section 15.3.6).
    if (status === 205) {
      this.#length(0)
      discardBody(body)
      return undefined
    }
    if (body === null || body === undefined) {
      this.#empty(request)
      return undefined
    }
    if (typeof body === 'string') return this.#text(request, body)
    if (body instanceof Uint8Array) return this.#bytes(request, body)
    if (body instanceof FileBody) return this.#file(request, body)
    if (typeof body === 'object' && isStreamed(body)) return this.#stream(request, body)
    throw invalidBody()
  }

  #length(length: number): void {
    this.#flags |= FLAG.length
    this.#memory.lengths[this.count * LENGTH_STRIDE + LENGTH.content] = length
  }

  // A length that the handler stated and that is not that of the body would break the framing.
  #actualLength(length: number): void {
    if (this.#declared >= 0 && this.#declared !== length) {
      throw responseError(`The Content-Length is ${this.#declared}, but the body has ${length} bytes.`)
    }
    this.#length(length)
  }

  #empty(request: Request): void {
    // A handler of HEAD may know the length that GET would have.
    if (request.isHead && this.#declared >= 0) this.#length(this.#declared)
    else this.#actualLength(0)
  }

  #text(request: Request, text: string): Transfer | undefined {
    if (text.length > MOST_TEXT_COPIED) return this.#bytes(request, Buffer.from(text))
    this.#room(text.length * 3)
    const size = writeText(this.#memory.out, text, this.#out)
    this.#inArena(request, size)
    return undefined
  }

  #bytes(request: Request, bytes: Uint8Array): Transfer | undefined {
    if (bytes.length <= MOST_BYTES_COPIED) {
      this.#room(bytes.length)
      this.#memory.out.set(bytes, this.#out)
      this.#inArena(request, bytes.length)
      return undefined
    }
    this.#actualLength(bytes.length)
    if (request.isHead) return undefined
    this.#flags |= FLAG.bodyReference
    this.#memory.entries[this.#at + ENTRY.bodyAt] = this.references.length
    this.references.push(bytes)
    return { request, bytes }
  }

  #inArena(request: Request, size: number): void {
    this.#actualLength(size)
    if (request.isHead || size === 0) return
    const { entries } = this.#memory
    this.#flags |= FLAG.bodyInArena
    entries[this.#at + ENTRY.bodyAt] = this.#out
    entries[this.#at + ENTRY.bodySize] = size
    this.#out += size
  }

  #file(request: Request, file: FileBody): Transfer | undefined {
    this.#actualLength(file.length)
    if (request.isHead || file.length === 0) {
      file.close()
      return undefined
    }
    this.#flags |= FLAG.bodyFile
    this.#memory.entries[this.#at + ENTRY.bodyAt] = file.descriptor
    this.#memory.lengths[this.count * LENGTH_STRIDE + LENGTH.fileOffset] = file.offset
    return { request, file }
  }

  #stream(request: Request, stream: StreamedBody): Transfer | undefined {
    const length = this.#declared >= 0 ? this.#declared : undefined
    if (length !== undefined) this.#length(length)
    if (request.isHead) {
      discardBody(stream)
      return undefined
    }
    const chunked = length === undefined && !request.isMinorZero
    if (chunked) this.#flags |= FLAG.chunked
    // HTTP/1.0 has no chunks: the end of the connection ends the body.
    else if (length === undefined) this.#flags |= FLAG.close
    this.#flags |= FLAG.moreFollows
    const trailers = this.#trailers
    return { request, stream: { body: stream, length, chunked, trailers, headWritten: ignore } }
  }
}

function ignore(): void {
  // Replaced by the one who sends the body.
}

function isIterable(headers: ResponseHeaders): headers is Iterable<readonly [string, string]> {
  return Symbol.iterator in headers
}

// Short ASCII is written by hand, which takes less time than the call.
function writeText(out: Buffer, text: string, at: number): number {
  if (text.length > SHORT_TEXT) return out.write(text, at)
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return out.write(text, at)
    out[at + i] = code
  }
  return text.length
}
