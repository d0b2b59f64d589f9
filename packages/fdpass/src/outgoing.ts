import { binding, Slot } from './binding.ts'
import { copyBytes, FEW_BYTES } from './copy-bytes.ts'
import { EAGAIN, EBADF, EMSGSIZE, ETOOMANYREFS } from './errno.ts'
import { FdPassError } from './errors.ts'
import { Fd, numberOf, type FdLike } from './fd.ts'
import { fileFlagsOf } from './file-flags.ts'
import { FRAME_HEADER, writeFrameHeader } from './frame.ts'
import type { Credentials } from './message.ts'
import { invalid } from './options.ts'
import { closeAll } from './ownership.ts'
import { partsOf, type Payload } from './payload.ts'
import { MOST_RIGHTS, type ReceiveRules } from './socket-options.ts'

const NO_ROOM = 'there is no room to keep the descriptors of a message that has to wait'
/** What one call of the addon can count. */
const MOST_BYTES = 0x7fffffff - FRAME_HEADER
const { numbers } = binding
const header = new DataView(binding.bytes.buffer, binding.bytes.byteOffset, FRAME_HEADER)

/** What a message is sent with beside its bytes and descriptors. */
export interface Attributes {
  readonly to: string | undefined
  readonly credentials: Credentials | undefined
}

/** A message on its way out. What has gone cannot be taken back; the rest is here. */
export class Outgoing {
  readonly #data: Uint8Array
  readonly #attributes: Attributes | undefined
  readonly #header: number
  readonly length: number
  /** How many descriptors the header of its frame names. */
  readonly #promised: number
  #descriptors: readonly number[]
  /** Bytes that have gone, and descriptors. */
  #sent = 0
  #passed = 0
  #held = false

  constructor(data: Uint8Array, descriptors: readonly number[], framed: boolean, attributes?: Attributes) {
    this.#data = data
    this.#descriptors = descriptors
    this.#promised = descriptors.length
    this.#header = framed ? FRAME_HEADER : 0
    this.length = this.#header + data.length
    this.#attributes = attributes
  }

  /** Whether a part of it has gone. */
  get begun(): boolean {
    return this.#sent > 0
  }

  /** Whether nobody tells when there is room for it: the queue of a name that this socket is not connected to. */
  get unannounced(): boolean {
    return this.#attributes?.to !== undefined
  }

  /** So many of its bytes have gone already, and with them all of its descriptors. */
  wentOn(bytes: number): void {
    this.#sent = bytes
    this.#passed = this.#descriptors.length
  }

  /**
   * Sends as much as there is room for. Returns 0 when all of it has gone, or a negative errno: after EAGAIN and
   * ETOOMANYREFS the rest can be tried again.
   */
  advance(socket: number): number {
    for (;;) {
      const waiting = this.#descriptors.length - this.#passed
      const count = Math.min(waiting, MOST_RIGHTS)
      // Descriptors go with the first byte of a sendmsg(2): what is more than one takes begins at a byte of its own.
      const bytes = waiting > MOST_RIGHTS ? 1 : this.length - this.#sent
      const sent = this.#attempt(socket, count, bytes)
      if (sent < 0) return sent
      if (sent === 0 && bytes > 0) {
        throw invalid(
          'sendmsg',
          'the bytes of the message are there no more: their ArrayBuffer was transferred',
        )
      }
      this.#sent += sent
      this.#passed += count
      if (this.#sent === this.length && this.#passed === this.#descriptors.length) return 0
    }
  }

  /**
   * From here on it does not rely on its caller's descriptors: they may be closed, and their numbers be given to other
   * files, before the message has gone. Throws FdPassError EMFILE when there is no room for the duplicates.
   */
  hold(): void {
    if (this.#held) return
    this.#held = true
    const own: number[] = []
    for (const descriptor of this.#descriptors.slice(this.#passed)) {
      const duplicate = binding.duplicate(descriptor)
      if (duplicate < 0) {
        closeAll(own)
        throw new FdPassError(duplicate, 'dup', { detail: duplicate === EBADF ? undefined : NO_ROOM })
      }
      own.push(duplicate)
    }
    this.#descriptors = own
    this.#passed = 0
  }

  /** Lets go of what it holds. */
  end(): void {
    if (this.#held) closeAll(this.#descriptors)
    this.#descriptors = []
  }

  #attempt(socket: number, count: number, bytes: number): number {
    for (let i = 0; i < count; i++) {
      numbers[Slot.descriptors + i] = this.#descriptors[this.#passed + i] as number
    }
    const prefix = Math.max(0, Math.min(this.#header - this.#sent, bytes))
    if (prefix > 0) {
      writeFrameHeader(header, this.#data.length, this.#promised)
      if (this.#sent > 0) binding.bytes.copyWithin(0, this.#sent, FRAME_HEADER)
    }
    const offset = Math.max(0, this.#sent - this.#header)
    if (this.#attributes === undefined)
      return binding.send(socket, prefix, count, this.#data, offset, bytes - prefix)
    const { to, credentials } = this.#attributes
    return credentials === undefined
      ? binding.send(socket, prefix, count, this.#data, offset, bytes - prefix, to)
      : binding.send(
          socket,
          prefix,
          count,
          this.#data,
          offset,
          bytes - prefix,
          to,
          credentials.pid,
          credentials.uid,
          credentials.gid,
        )
  }
}

/** As one piece: several parts are copied. */
function bytesOf(data: Payload): Uint8Array {
  if (data instanceof Uint8Array) return data
  const parts = partsOf(data, 'sendmsg')
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
}

function checkLengths(length: number, descriptors: number, { framed, type }: ReceiveRules): void {
  if (length > MOST_BYTES) throw new FdPassError(EMSGSIZE, 'sendmsg', { detail: 'it has 2 GiB or more' })
  if (framed) {
    const groups = Math.ceil(descriptors / MOST_RIGHTS)
    if (groups > FRAME_HEADER + length) {
      const most = MOST_RIGHTS * (FRAME_HEADER + length)
      throw invalid('sendmsg', `a frame of so few bytes has at most ${most} descriptors`)
    }
    return
  }
  if (descriptors > MOST_RIGHTS) {
    throw invalid('sendmsg', `a message has at most ${MOST_RIGHTS} descriptors; a framed stream splits more`)
  }
  if (length > 0) return
  if (descriptors > 0) {
    throw invalid(
      'sendmsg',
      'descriptors need at least one byte to go with: without, they are lost on the way',
    )
  }
  if (type !== 'dgram') {
    throw invalid('sendmsg', 'an empty message cannot be told from the end of the connection')
  }
}

/** Checks a message before anything of it goes. */
export function outgoing(
  data: Payload,
  fds: Iterable<FdLike> | undefined,
  rules: ReceiveRules,
  attributes?: Attributes,
): Outgoing {
  const bytes = bytesOf(data)
  const descriptors: number[] = []
  if (fds !== undefined) for (const fd of fds) descriptors.push(numberOf(fd, 'sendmsg'))
  // They go in several calls, and the last shall not be the one that finds out.
  if (descriptors.length > MOST_RIGHTS)
    for (const descriptor of descriptors) fileFlagsOf(descriptor, 'sendmsg')
  checkLengths(bytes.length, descriptors.length, rules)
  return new Outgoing(bytes, descriptors, rules.framed, attributes)
}

const isPlain = (fd: FdLike): boolean => typeof fd === 'number' || fd instanceof Fd

/** Writes numbers of descriptors to where a call takes them from: what is no such number does not survive that. */
function leaveDescriptors(fds: readonly FdLike[]): void {
  for (let i = 0; i < fds.length; i++) {
    const fd = fds[i] as FdLike
    const number = typeof fd === 'number' ? fd : fd.fd
    numbers[Slot.descriptors + i] = number
    if (numbers[Slot.descriptors + i] !== number || number < 0) throw new FdPassError(EBADF, 'sendmsg')
  }
}

/** Few bytes go the way of their header: to have the addon look where an array has its own costs more. */
function sendBytes(socket: number, prefix: number, descriptors: number, bytes: Uint8Array): number {
  if (bytes.length > FEW_BYTES) return binding.send(socket, prefix, descriptors, bytes, 0, bytes.length)
  copyBytes(bytes, 0, bytes.length, binding.bytes, prefix)
  return binding.send(socket, prefix + bytes.length, descriptors)
}

/**
 * Sends what goes at once, as most messages do, without an object for it. Returns what is left to be sent; undefined
 * when nothing is.
 */
export function sendAtOnce(
  socket: number,
  data: Payload,
  fds: readonly FdLike[],
  rules: ReceiveRules,
): Outgoing | undefined {
  // What has a getter of its own may call the addon in between, which overwrites the exchange.
  if (fds.length > MOST_RIGHTS || !fds.every(isPlain)) return outgoing(data, fds, rules)
  const bytes = bytesOf(data)
  checkLengths(bytes.length, fds.length, rules)
  leaveDescriptors(fds)
  const prefix = rules.framed ? FRAME_HEADER : 0
  if (rules.framed) writeFrameHeader(header, bytes.length, fds.length)
  const sent = sendBytes(socket, prefix, fds.length, bytes)
  if (sent === prefix + bytes.length) return undefined
  if (sent < 0 && sent !== EAGAIN && sent !== ETOOMANYREFS) throw new FdPassError(sent, 'sendmsg')
  const rest = outgoing(bytes, fds, rules)
  if (sent > 0) rest.wentOn(sent)
  return rest
}
