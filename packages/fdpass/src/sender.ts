import { binding } from './binding.ts'
import { EAGAIN, EPIPE, ETIMEDOUT, ETOOMANYREFS } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { WaitOptions } from './options.ts'
import type { Outgoing } from './outgoing.ts'
import { WaitQueue } from './wait-queue.ts'

const POLLOUT = 0x4
const SHUT_WR = 1
/** Milliseconds until the first look where nobody tells of room, and until the last ones. */
const SOON = 1
const LATER = 64

/** What has gone at once. */
export const sent: Promise<void> = Promise.resolve()

/** Sends messages in turn, and waits where there is no room. */
export class Sender {
  readonly #socket: number
  readonly #queue = new WaitQueue()
  /** Calls back when it begins or ends to wait. */
  readonly #changed: () => void
  /** Has room told of. Throws where that is not possible. */
  readonly #arm: () => void
  #pause = SOON
  #timer: NodeJS.Timeout | undefined
  #cut = false
  #bytes = 0

  constructor(socket: number, changed: () => void, arm: () => void) {
    this.#socket = socket
    this.#changed = changed
    this.#arm = arm
  }

  get waiting(): boolean {
    return this.#queue.length > 0
  }

  /** Whether a message may be sent without a look at those before it. */
  get free(): boolean {
    return !this.waiting && !this.#cut
  }

  /** Bytes of messages that wait. */
  get bytes(): number {
    return this.#bytes
  }

  send(message: Outgoing, options: WaitOptions): Promise<void> {
    try {
      if (!this.waiting && this.#advance(message)) return sent
      if (options.timeout === 0) throw new FdPassError(ETIMEDOUT, 'sendmsg')
      // All that can fail, before anybody waits.
      this.#arm()
      message.hold()
    } catch (error) {
      if (message.begun) this.cut()
      throw error
    }
    this.#bytes += message.length
    const done = this.#queue.wait<true>(
      () => {
        if (!this.#advance(message)) return undefined
        this.#end(message)
        return true
      },
      options,
      'sendmsg',
      () => {
        const { begun } = message
        this.#end(message)
        if (!begun) return
        this.cut()
        // Those behind it have nothing to wait for.
        this.#queue.run()
      },
    )
    this.#changed()
    return done.then(() => undefined)
  }

  /** Sends what waits, and then the message; blocks until that is done. */
  sendSync(message: Outgoing, timeout: number): void {
    try {
      if (!this.waiting && this.#advance(message)) return
      const deadline = performance.now() + timeout
      if (this.waiting) this.#wait(() => this.#flushed(), undefined, deadline)
      this.#wait(() => this.#advance(message), message, deadline)
    } catch (error) {
      if (message.begun) this.cut()
      throw error
    }
  }

  /** There may be room now. */
  run(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const before = this.#queue.length
    this.#queue.run()
    if (this.#queue.length < before) this.#pause = SOON
    if (this.#queue.length !== before) this.#changed()
  }

  /** A message that was begun cannot be ended: the peer learns that by the end of the stream. */
  cut(): void {
    this.#cut = true
    binding.shutdown(this.#socket, SHUT_WR)
  }

  fail(error: unknown): void {
    clearTimeout(this.#timer)
    this.#queue.fail(error)
  }

  /** Shuts this end for sending when everything before has gone. */
  end(options: WaitOptions): Promise<void> {
    const shut = (): true => {
      const error = binding.shutdown(this.#socket, SHUT_WR)
      if (error < 0) throw new FdPassError(error, 'shutdown')
      return true
    }
    if (this.waiting) return this.#queue.wait(shut, options, 'shutdown').then(() => undefined)
    shut()
    return sent
  }

  #end(message: Outgoing): void {
    this.#bytes -= message.length
    message.end()
    this.#changed()
  }

  /** True when it has gone, false when it has to wait. */
  #advance(message: Outgoing): boolean {
    if (this.#cut)
      throw new FdPassError(EPIPE, 'sendmsg', { detail: 'an earlier message was given up half-way' })
    const error = message.advance(this.#socket)
    if (error === 0) return true
    if (error !== EAGAIN && error !== ETOOMANYREFS) throw new FdPassError(error, 'sendmsg')
    if (error === ETOOMANYREFS || message.unannounced) this.#lookAgain()
    return false
  }

  /** Room in another socket's queue, or among a user's descriptors in flight: Linux tells nobody when there is some. */
  #lookAgain(): void {
    this.#timer ??= setTimeout(() => {
      this.run()
    }, this.#pause).unref()
    this.#pause = Math.min(this.#pause * 2, LATER)
  }

  #flushed(): boolean {
    this.run()
    return !this.waiting
  }

  #wait(attempt: () => boolean, message: Outgoing | undefined, deadline: number): void {
    let pause = SOON
    while (!attempt()) {
      const left = deadline - performance.now()
      if (left <= 0) throw new FdPassError(ETIMEDOUT, 'sendmsg')
      // A socket that has room all the time, and yet no message goes: there is nothing to wait for but time.
      const blind = this.#timer !== undefined || message?.unannounced === true
      clearTimeout(this.#timer)
      this.#timer = undefined
      const most = blind ? Math.min(left, pause) : left
      const ready = binding.wait(blind ? -1 : this.#socket, POLLOUT, Number.isFinite(most) ? most : -1)
      if (ready < 0) throw new FdPassError(ready, 'poll')
      if (blind) pause = Math.min(pause * 2, LATER)
    }
  }
}
