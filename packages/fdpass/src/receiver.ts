import { Buffer } from 'node:buffer'
import { binding, Slot } from './binding.ts'
import { FEW_BYTES } from './copy-bytes.ts'
import { EAGAIN, EMFILE, ENFILE, EPROTO } from './errno.ts'
import { FdPassError, FdRefusedError, FdTruncatedError } from './errors.ts'
import { Fd } from './fd.ts'
import type { FdKind } from './fd-kind.ts'
import { FrameDecoder, type Frame } from './frame.ts'
import { Message, type Envelope } from './message.ts'
import { discard } from './ownership.ts'
import { publishDiscarded } from './events.ts'
import { bufferOf, ShortData } from './short-data.ts'
import { MOST_RIGHTS, type ReceiveRules } from './socket-options.ts'

const MSG_PEEK = 0x2
const MSG_CTRUNC = 0x8
const POLLRDHUP = 0x2000

const { bytes, numbers, name } = binding
const scratch = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
const none: readonly number[] = []

/** Takes what one recvmsg(2) left in the exchange. */
function takeDescriptors(count: number): readonly number[] {
  if (count === 0) return none
  if (count === 1) return [numbers[Slot.descriptors]]
  const descriptors = new Array<number>(count)
  for (let i = 0; i < count; i++) descriptors[i] = numbers[Slot.descriptors + i] as number
  return descriptors
}

function copyOf(from: Buffer, length: number): Buffer | ShortData {
  if (length <= FEW_BYTES) return new ShortData(from, length)
  const copy = Buffer.allocUnsafe(length)
  from.copy(copy, 0, 0, length)
  return copy
}

function takeEnvelope(): Envelope | undefined {
  const pid = numbers[Slot.pid]
  const pidfd = numbers[Slot.pidfd]
  const length = numbers[Slot.nameLength]
  if (pid === -1 && pidfd === -1 && length === 0) return undefined
  return {
    credentials: pid === -1 ? undefined : { pid, uid: numbers[Slot.uid] >>> 0, gid: numbers[Slot.gid] >>> 0 },
    pidfd: pidfd >= 0 ? new Fd(pidfd) : undefined,
    from: length === 0 ? undefined : Buffer.from(name.buffer, name.byteOffset, length).toString(),
  }
}

/** Whether there was no room for a pidfd: the kernel then brings the errno in its place, and sets no flag. */
function lostPidfd(): boolean {
  const pidfd = numbers[Slot.pidfd]
  return pidfd === EMFILE || pidfd === ENFILE
}

/** The kinds of the descriptors, when one of them is not allowed. */
function wrongKinds(descriptors: readonly number[], allowed: ReadonlySet<string>): FdKind[] | undefined {
  const kinds = descriptors.map((descriptor) => String(binding.kind(descriptor)) as FdKind)
  return kinds.every((kind) => allowed.has(kind)) ? undefined : kinds
}

/** Receives from one socket. A message, null at the end, undefined when there is nothing yet. */
export abstract class Receiver {
  protected readonly socket: number
  protected readonly rules: ReceiveRules

  constructor(socket: number, rules: ReceiveRules) {
    this.socket = socket
    this.rules = rules
  }

  static for(socket: number, rules: ReceiveRules): Receiver {
    return rules.framed ? new FrameReceiver(socket, rules) : new MessageReceiver(socket, rules)
  }

  /** `peek` leaves it there, for the next call: its descriptors come each time anew. */
  abstract receive(peek?: boolean): Message | null | undefined

  /** Whether something was read that no call has received yet. */
  abstract get holds(): boolean

  abstract close(): void

  /** Throws what a message is not taken for; its descriptors are closed by then. */
  protected deliver(data: Buffer | ShortData, descriptors: readonly number[], envelope?: Envelope): Message {
    const kinds =
      this.rules.kinds === undefined || descriptors.length === 0
        ? undefined
        : wrongKinds(descriptors, this.rules.kinds)
    if (kinds === undefined) return new Message(data, descriptors, envelope)
    envelope?.pidfd?.close()
    discard(descriptors, 'refused')
    throw new FdRefusedError('kinds does not have all of these', bufferOf(data), kinds.length, kinds)
  }

  protected tooMany(data: Buffer, count: number): FdRefusedError {
    const most = this.rules.rights ? `maxFds is ${this.rules.maxFds}` : 'this socket takes no descriptors'
    return new FdRefusedError(most, data, count)
  }
}

/** A message is what one recvmsg(2) brings: a packet, or what there is of a stream. */
class MessageReceiver extends Receiver {
  /** Where the exchange is too small. */
  #buffer: Buffer | undefined

  override get holds(): boolean {
    return false
  }

  override receive(peek = false): Message | null | undefined {
    const got = this.#receive(peek)
    if (got === EAGAIN) return undefined
    if (got < 0) throw new FdPassError(got, 'recvmsg')
    const count = numbers[Slot.count]
    const flags = numbers[Slot.flags] | (lostPidfd() ? MSG_CTRUNC : 0)
    // First: what fails from here on must not leave them without an owner.
    const descriptors = takeDescriptors(Math.max(count, 0))
    let data: Buffer | ShortData
    let envelope: Envelope | undefined
    try {
      data = copyOf(this.#buffer ?? scratch, got)
      envelope = takeEnvelope()
    } catch (error) {
      discard(descriptors, 'closed')
      throw error
    }
    if (got === 0 && count <= 0 && flags === 0 && this.#ended(envelope)) return null
    if (count < 0 || flags !== 0) throw this.#complaint(data, count, descriptors, flags, envelope)
    return this.deliver(data, descriptors, envelope)
  }

  override close(): void {
    this.#buffer = undefined
  }

  #receive(peek: boolean): number {
    const { maxBytes, maxFds, type } = this.rules
    if (maxBytes > bytes.length) this.#buffer ??= Buffer.alloc(maxBytes)
    const named = type === 'dgram'
    // Most calls want no more than this, and to take an argument costs the addon a call into the engine.
    if (this.#buffer === undefined && !peek && !named) return binding.receive(this.socket, maxFds, maxBytes)
    const how = peek ? MSG_PEEK : 0
    return this.#buffer === undefined
      ? binding.receive(this.socket, maxFds, maxBytes, how, named)
      : binding.receive(this.socket, maxFds, maxBytes, how, named, this.#buffer, 0)
  }

  #complaint(
    data: Buffer | ShortData,
    count: number,
    descriptors: readonly number[],
    flags: number,
    envelope: Envelope | undefined,
  ): FdPassError {
    envelope?.pidfd?.close()
    if (count < 0) {
      publishDiscarded(-count, 'refused')
      return this.tooMany(bufferOf(data), -count)
    }
    discard(descriptors, 'truncated')
    return new FdTruncatedError((flags & MSG_CTRUNC) !== 0 ? 'descriptors' : 'bytes', bufferOf(data), count)
  }

  /**
   * No bytes are the end of a connection, or an empty packet. A packet has credentials, where they are asked for. Else
   * it is the end if the peer will send no more and nothing follows; an empty packet that is the very last one cannot
   * be told from it. Looking overwrites the exchange, and installs descriptors of what follows, which are closed as
   * more than none.
   */
  #ended(envelope: Envelope | undefined): boolean {
    const { type } = this.rules
    if (type !== 'seqpacket') return type === 'stream'
    if (envelope !== undefined) return false
    const ready = binding.wait(this.socket, POLLRDHUP, 0)
    if (ready <= 0) return false
    return binding.receive(this.socket, 0, 1, MSG_PEEK) === 0 && binding.available(this.socket) === 0
  }
}

/** The kernel never gives bytes of two senders in one read, where it is asked who they are (unix(7)). */
function sameSender(one: Envelope | undefined, other: Envelope | undefined): boolean {
  const [a, b] = [one?.credentials, other?.credentials]
  return a?.pid === b?.pid && a?.uid === b?.uid && a?.gid === b?.gid
}

/** Frames of a stream. It reads ahead, as far as the socket's buffer has bytes. */
class FrameReceiver extends Receiver {
  readonly #decoder: FrameDecoder
  #frames: Frame[] = []
  #next = 0
  #envelope: Envelope | undefined

  constructor(socket: number, rules: ReceiveRules) {
    super(socket, rules)
    this.#decoder = new FrameDecoder(rules.maxBytes, rules.maxFds)
  }

  override get holds(): boolean {
    return this.#next < this.#frames.length || this.#decoder.partial
  }

  override receive(): Message | null | undefined {
    while (this.#next === this.#frames.length) {
      if (this.#decoder.error !== undefined) {
        throw new FdPassError(EPROTO, 'recvmsg', {
          detail: `${this.#decoder.error}; { framed: false } receives bytes as they are`,
        })
      }
      const more = this.#read()
      if (more !== true) return more
    }
    const frame = this.#frames[this.#next++] as Frame
    if (frame.refused) throw this.tooMany(frame.data, frame.closed)
    if (frame.damaged) {
      discard(frame.descriptors, 'truncated')
      throw new FdTruncatedError('descriptors', frame.data, frame.descriptors.length)
    }
    return this.deliver(frame.data, frame.descriptors, this.#envelope)
  }

  override close(): void {
    this.#decoder.end()
    this.#refuse('closed')
    for (const frame of this.#frames.splice(this.#next)) discard(frame.descriptors, 'closed')
  }

  /** True when bytes came, null at the end of the stream, undefined when there are none yet. */
  #read(): true | null | undefined {
    const rest = this.#decoder.rest
    const got =
      rest === undefined
        ? binding.receive(this.socket, MOST_RIGHTS + 1, bytes.length)
        : binding.receive(this.socket, MOST_RIGHTS + 1, rest.length, 0, false, rest, 0)
    if (got === EAGAIN) return undefined
    if (got < 0) throw new FdPassError(got, 'recvmsg')
    if (got === 0) return this.#end()
    const damaged = (numbers[Slot.flags] & MSG_CTRUNC) !== 0
    const descriptors = takeDescriptors(numbers[Slot.count])
    // Whoever made the socket may have asked for pidfds, which are of no use to frames.
    if (numbers[Slot.pidfd] >= 0) binding.close(numbers[Slot.pidfd])
    numbers[Slot.pidfd] = -1
    const envelope = takeEnvelope()
    const mixed = this.#decoder.partial && !sameSender(this.#envelope, envelope)
    this.#envelope = envelope
    if (mixed) {
      discard(descriptors, 'refused')
      this.#decoder.fail('a frame has bytes of two senders')
    } else {
      this.#frames = this.#decoder.push(rest ?? scratch, descriptors, damaged, got)
      this.#next = 0
    }
    this.#refuse('refused')
    return true
  }

  #end(): null {
    if (!this.#decoder.partial) return null
    const lost = this.#decoder.held.length
    this.#decoder.fail('the stream ended inside of a frame')
    this.#refuse('truncated')
    throw new FdPassError(EPROTO, 'recvmsg', {
      detail: `the peer ended inside of a frame; its bytes are lost, and the ${lost} descriptors that had come were closed`,
    })
  }

  #refuse(reason: 'closed' | 'refused' | 'truncated'): void {
    if (this.#decoder.refused.length > 0) discard(this.#decoder.refused.splice(0), reason)
  }
}
