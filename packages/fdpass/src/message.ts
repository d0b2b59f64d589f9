import { Fd } from './fd.ts'
import { closeAll, Owner } from './ownership.ts'
import { bufferOf, type ShortData } from './short-data.ts'

const none: readonly Fd[] = []
const closed: readonly number[] = []

/** Who sent a message, as the kernel checked it (SCM_CREDENTIALS, unix(7)). */
export interface Credentials {
  readonly pid: number
  readonly uid: number
  readonly gid: number
}

/** @internal What comes with a message, apart from its bytes and descriptors. */
export interface Envelope {
  readonly credentials: Credentials | undefined
  readonly pidfd: Fd | undefined
  readonly from: string | undefined
}

/**
 * Bytes, and the descriptors that came with them. It owns the descriptors until they are claimed, taken or closed one
 * by one, and closes the others with itself.
 */
export class Message extends Owner implements Disposable {
  #data: Buffer | ShortData
  #descriptors: readonly number[]
  #fds: readonly Fd[] | undefined
  readonly #envelope: Envelope | undefined

  /** @internal */
  constructor(data: Buffer | ShortData, descriptors: readonly number[], envelope?: Envelope) {
    super()
    this.#data = data
    this.#descriptors = descriptors
    this.#envelope = envelope
    if (descriptors.length > 0) this.begin(data.length)
  }

  /** The bytes. */
  get data(): Buffer {
    return (this.#data = bufferOf(this.#data))
  }

  /** The descriptors, in the order in which they were sent. They are closed with the message. */
  get fds(): readonly Fd[] {
    if (this.#fds !== undefined) return this.#fds
    // From here on each is an owner by itself. Let go first: to make an owner may have all others looked at.
    const descriptors = this.#descriptors
    this.#descriptors = closed
    this.finish()
    return (this.#fds = descriptors.map((number) => new Fd(number)))
  }

  /** How many descriptors came, without an object for each. */
  get fdCount(): number {
    return this.#fds?.length ?? this.#descriptors.length
  }

  /** Who sent it, on a socket with `credentials`. */
  get credentials(): Credentials | undefined {
    return this.#envelope?.credentials
  }

  /**
   * The process that sent it, on a socket with `pidfd`. It is closed with the message. Undefined when that process had
   * ended, where the kernel has no pidfd of such a one.
   */
  get pidfd(): Fd | undefined {
    return this.#envelope?.pidfd
  }

  /** The name of the sender's socket, of a datagram; undefined when that has none. */
  get from(): string | undefined {
    return this.#envelope?.from
  }

  /** The descriptors, which are the caller's from now on: the message does not close them any more. */
  claim(): Fd[] {
    const fds = [...this.fds]
    this.#fds = none
    return fds
  }

  /** Closes what was not claimed, taken or closed. */
  close(): void {
    this.#envelope?.pidfd?.close()
    if (this.#fds !== undefined) {
      for (const fd of this.#fds) fd.close()
    } else if (this.#descriptors.length > 0) {
      const descriptors = this.#descriptors
      this.#descriptors = closed
      this.#fds = none
      this.finish()
      closeAll(descriptors)
    }
  }

  [Symbol.dispose](): void {
    this.close()
  }

  protected override get held(): readonly number[] {
    return this.#descriptors
  }
}
