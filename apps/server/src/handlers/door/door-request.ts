import type { HttpHeaders, Method, RequestBody } from '@x/http1'
import type { HttpRequest } from '../../handler.ts'
import type { RequestHead } from './door-message.ts'

let count = 0

/** A request that came through a door. It has what every request has; its connection is another process's. */
export class DoorRequest implements HttpRequest {
  readonly id: string = `door.${++count}`
  /** There is none here. */
  readonly descriptor = -1
  readonly method: Method
  readonly target: string
  readonly path: string
  readonly query: string | undefined
  readonly version: '1.0' | '1.1'
  readonly headers: HttpHeaders
  readonly host: string
  readonly remoteAddress: string | undefined
  readonly remotePort: number | undefined
  readonly keepAlive = true
  readonly body: RequestBody
  readonly answered = false
  readonly signal: AbortSignal
  readonly #trailers: HttpHeaders

  constructor(head: RequestHead, body: Uint8Array, signal: AbortSignal) {
    // It was one of the methods that the server knows, or is one of the caller's own.
    this.method = head.method as Method
    this.target = head.target
    const [before, query] = splitOnce(head.target.replace(/^https?:\/\/[^/?]*/iu, ''), '?')
    this.path = before === '' ? '/' : before
    this.query = query
    this.version = head.version
    this.headers = new DoorHeaders(head.headers)
    this.#trailers = new DoorHeaders(head.trailers ?? [])
    this.host = head.host
    this.remoteAddress = head.remoteAddress
    this.remotePort = head.remotePort
    this.body = new DoorBody(body)
    this.signal = signal
  }

  get trailers(): HttpHeaders {
    return this.body.used ? this.#trailers : noTrailers
  }

  bytes(limit?: number): Promise<Uint8Array> {
    return this.body.bytes(limit)
  }

  arrayBuffer(limit?: number): Promise<ArrayBuffer> {
    return this.body.arrayBuffer(limit)
  }

  text(limit?: number): Promise<string> {
    return this.body.text(limit)
  }

  json(limit?: number): Promise<unknown> {
    return this.body.json(limit)
  }
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

class DoorHeaders implements HttpHeaders {
  readonly #fields: readonly [string, string][]

  constructor(fields: readonly [string, string][]) {
    this.#fields = fields
  }

  get(name: string): string | undefined {
    const values = this.getAll(name)
    if (values.length === 0) return undefined
    return values.join(name.toLowerCase() === 'cookie' ? '; ' : ', ')
  }

  has(name: string): boolean {
    return this.getAll(name).length > 0
  }

  getAll(name: string): string[] {
    const wanted = name.toLowerCase()
    return this.#fields.filter(([own]) => own === wanted).map(([, value]) => value)
  }

  entries(): IterableIterator<[name: string, value: string]> {
    return this.#fields.values() as IterableIterator<[string, string]>
  }

  [Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    return this.entries()
  }
}

const noTrailers = new DoorHeaders([])

class DoorBody implements RequestBody {
  readonly #bytes: Uint8Array
  used = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  bytes(limit: number = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
    if (this.used) return Promise.reject(new TypeError('The request body has been consumed already.'))
    this.used = true
    if (this.#bytes.length <= limit) return Promise.resolve(this.#bytes)
    return Promise.reject(new RangeError(`The request body is larger than ${limit} bytes.`))
  }

  async arrayBuffer(limit?: number): Promise<ArrayBuffer> {
    return new Uint8Array(await this.bytes(limit)).buffer
  }

  async text(limit?: number): Promise<string> {
    return new TextDecoder().decode(await this.bytes(limit))
  }

  async json(limit?: number): Promise<unknown> {
    return JSON.parse(await this.text(limit)) as unknown
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const bytes = await this.bytes()
    if (bytes.length > 0) yield bytes
  }
}
