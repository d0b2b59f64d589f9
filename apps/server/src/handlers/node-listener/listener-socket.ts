import { EventEmitter } from 'node:events'
import type { HttpRequest } from '../../handler.ts'

/**
 * What a listener finds as `req.socket`: who the client is, and a way to break the exchange off. The connection
 * itself is the server's, which reads, writes and closes it; so what would tune it has no effect.
 */
export class ListenerSocket extends EventEmitter {
  readonly #request: HttpRequest
  #remoteAddress: string | undefined
  #remotePort: number | undefined
  #timer: NodeJS.Timeout | undefined
  readable = true
  writable = true
  destroyed = false
  readonly encrypted = false
  readonly readableHighWaterMark: number = 64 * 1024
  readonly writableHighWaterMark: number = 64 * 1024
  timeout = 0
  /** Bytes of the response that the client's socket has not taken. */
  pending: () => number = () => 0
  /** Called when the exchange is to be broken off. */
  onDestroy: (error: Error | undefined) => void = () => undefined

  constructor(request: HttpRequest) {
    super()
    this.#request = request
  }

  get remoteAddress(): string | undefined {
    this.#remoteAddress ??= this.#request.remoteAddress
    return this.#remoteAddress
  }

  get remotePort(): number | undefined {
    this.#remotePort ??= this.#request.remotePort
    return this.#remotePort
  }

  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    if (this.remoteAddress === undefined) return undefined
    return this.remoteAddress.includes(':') ? 'IPv6' : 'IPv4'
  }

  get writableLength(): number {
    return this.pending()
  }

  /** Ends the request and its response before they are complete. */
  destroy(error?: Error): this {
    if (this.destroyed) return this
    this.destroyed = true
    this.readable = false
    this.writable = false
    clearTimeout(this.#timer)
    this.onDestroy(error)
    process.nextTick(() => this.emit('close', error !== undefined))
    return this
  }

  /** Emits 'timeout' when for so many milliseconds nothing was read or written; 0 is never. */
  setTimeout(milliseconds: number, listener?: () => void): this {
    this.timeout = milliseconds
    clearTimeout(this.#timer)
    if (listener !== undefined) {
      if (milliseconds === 0) this.off('timeout', listener)
      else this.once('timeout', listener)
    }
    if (milliseconds > 0 && !this.destroyed) {
      this.#timer = setTimeout(() => this.emit('timeout'), milliseconds)
    }
    return this
  }

  /** Something was read or written. */
  active(): void {
    this.#timer?.refresh()
  }

  /** The exchange is complete: no timeout comes any more. */
  rest(): void {
    clearTimeout(this.#timer)
  }

  cork(): void {
    // What is written in one turn goes out together anyway.
  }

  uncork(): void {
    // See cork().
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}
