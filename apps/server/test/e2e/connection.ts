import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface RawResponse {
  status: number
  headers: Map<string, string>
  body: string
}

/** A TCP connection that says what it is told and reads responses, whatever they are. */
export class Connection implements Disposable {
  readonly #socket: Socket
  #received = ''
  #ended = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#wake?.()
    })
    const end = (): void => {
      this.#ended = true
      this.#wake?.()
    }
    socket.on('end', end).on('error', end).on('close', end)
  }

  /** From another address of the loopback network, if given. */
  static async open(port: number, localAddress?: string): Promise<Connection> {
    const from = localAddress === undefined ? {} : { localAddress }
    const socket = connect({ port, host: '127.0.0.1', ...from }).setNoDelay(true)
    await once(socket, 'connect')
    return new Connection(socket)
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  /** Half-closes. */
  end(): void {
    this.#socket.end()
  }

  /** Reads nothing until resume(), so that the server's side fills up. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  get(path: string): Promise<RawResponse | undefined> {
    this.send(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    return this.response()
  }

  /** The next response by its Content-Length; undefined when the connection ends before it is complete. */
  async response(): Promise<RawResponse | undefined> {
    for (;;) {
      const parsed = this.#parse()
      if (parsed !== undefined) return parsed
      if (this.#ended) return undefined
      await this.#more()
    }
  }

  /** Everything up to what matches, which is then no more to be read; what there is when the connection ends. */
  async until(pattern: RegExp): Promise<string> {
    while (!this.#ended && !pattern.test(this.#received)) await this.#more()
    const text = this.#received
    this.#received = ''
    return text
  }

  /** Everything up to the end of the connection. */
  async rest(): Promise<string> {
    while (!this.#ended) await this.#more()
    return this.#received
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #parse(): RawResponse | undefined {
    const end = this.#received.indexOf('\r\n\r\n')
    if (end < 0) return undefined
    const [first = '', ...lines] = this.#received.slice(0, end).split('\r\n')
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    )
    const length = Number(headers.get('content-length') ?? 0)
    const start = end + 4
    if (this.#received.length < start + length) return undefined
    const body = this.#received.slice(start, start + length)
    this.#received = this.#received.slice(start + length)
    return { status: Number(first.split(' ')[1]), headers, body }
  }
}
