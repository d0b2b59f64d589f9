import type { Fd, FdLike, Message } from '@x/fdpass'
import { HEADER, MOST_RIGHTS, PIECE, Type, encodeHeader, type Packet } from './wire.ts'

/** A call or a reply, all of it. */
export interface Whole extends Packet {
  /** False: it was more than there was room for, and nothing of it is here. */
  readonly kept: boolean
  readonly data: Buffer
  /** The receiver's, to be closed. */
  readonly fds: Fd[]
}

export interface Piece {
  readonly bytes: Uint8Array[]
  readonly fds: readonly FdLike[]
}

/** Cuts a call or a reply into packets: the first says what all of them have together. */
export function piecesOf(packet: Packet, data: Uint8Array, fds: readonly FdLike[]): Piece[] {
  if (data.length <= PIECE && fds.length <= MOST_RIGHTS) return [{ bytes: [encodeHeader(packet), data], fds }]
  const count = Math.max(1, Math.ceil(data.length / PIECE), Math.ceil(fds.length / MOST_RIGHTS))
  return Array.from({ length: count }, (_, at) => ({
    bytes: [
      encodeHeader(at === 0 ? packet : { ...packet, type: Type.more }),
      data.subarray(at * PIECE, (at + 1) * PIECE),
    ],
    fds: fds.slice(at * MOST_RIGHTS, (at + 1) * MOST_RIGHTS),
  }))
}

interface Part {
  readonly packet: Packet
  readonly data: Buffer | undefined
  /** Bytes and descriptors that have come, kept or not. */
  filled: number
  arrived: number
  readonly fds: Fd[]
}

/** How much may be put together; what is more is counted and not kept. */
export interface Room {
  readonly bytes: number
  readonly fds: number
}

const nothing = Buffer.alloc(0)

/** Field by field: to spread a packet costs as much as to receive it. */
const wholeOf = (
  { type, sequence, status, length, descriptors }: Packet,
  kept: boolean,
  data: Buffer,
  fds: Fd[],
): Whole => ({ type, sequence, status, length, descriptors, kept, data, fds })

const isKept = ({ length, descriptors }: Packet, room: Room): boolean =>
  length <= room.bytes && descriptors <= room.fds

/** Puts calls and replies together of their packets. Sessions of one peer do not mix. */
export class Assembly {
  readonly #parts = new Map<number, Part>()

  /**
   * Takes a packet, with the descriptors of its message. Returns a whole when this was its last piece; null for what is
   * no piece of anything, which ends the session. `room` is asked for at the beginning.
   */
  push(packet: Packet, message: Message, room: Room): Whole | undefined | null {
    const bytes = message.data.subarray(HEADER)
    const { type, sequence, length, descriptors } = packet
    const alone = type !== Type.more && bytes.length === length && message.fdCount === descriptors
    if (alone && isKept(packet, room) && !this.#parts.has(sequence))
      return wholeOf(packet, true, bytes, message.claim())
    const part = type === Type.more ? this.#parts.get(sequence) : this.#begin(packet, room)
    const fits = part !== undefined && part.filled + bytes.length <= part.packet.length
    if (!fits || part.arrived + message.fdCount > part.packet.descriptors) return null
    part.arrived += message.fdCount
    if (part.data !== undefined) {
      bytes.copy(part.data, part.filled)
      part.fds.push(...message.claim())
    }
    part.filled += bytes.length
    return this.#whole(part)
  }

  /** Drops what is not whole. */
  close(): void {
    for (const { fds } of this.#parts.values()) for (const fd of fds) fd.close()
    this.#parts.clear()
  }

  #begin(packet: Packet, room: Room): Part | undefined {
    if (this.#parts.has(packet.sequence)) return undefined
    const data = isKept(packet, room) ? Buffer.allocUnsafe(packet.length) : undefined
    const part = { packet, data, filled: 0, arrived: 0, fds: [] }
    this.#parts.set(packet.sequence, part)
    return part
  }

  #whole(part: Part): Whole | undefined {
    const { packet, data, filled, arrived, fds } = part
    if (filled < packet.length || arrived < packet.descriptors) return undefined
    this.#parts.delete(packet.sequence)
    return wholeOf(packet, data !== undefined, data ?? nothing, fds)
  }
}
