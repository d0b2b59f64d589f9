/** Packets of a door: docs/protocol.md has the format. Numbers are little endian. */
export const HEADER = 32
const MAGIC = 0x01726f64
const HIGH = 2 ** 32

export const Type = {
  /** Server to client, on the door itself: with the information page. It is only looked at, never taken. */
  hello: 1,
  /** Client to server, on the door: with the other end of the client's own session. */
  session: 2,
  /** On a session, as all that follow. The beginning of a call. */
  call: 3,
  /** The next piece of a call or a reply that is longer than a packet. */
  more: 4,
  reply: 5,
  /** The client does not wait any more. */
  cancel: 6,
  /** Server to client, on a session that has asked: with shared memory. */
  area: 7,
} as const

/** What a session is to be, in the status of its packet. */
export const SessionFlag = {
  /** The next call is not sent before the reply to the last. */
  sequential: 1,
  /** The server is asked for shared memory. */
  area: 2,
} as const
export type PacketType = (typeof Type)[keyof typeof Type]

export interface Packet {
  readonly type: PacketType
  /** Of the call on its session. */
  readonly sequence: number
  /** Of a reply: 0, or the errno (negative) that the call fails with. */
  readonly status: number
  /** Of all pieces together. */
  readonly length: number
  readonly descriptors: number
}

const types: ReadonlySet<number> = new Set(Object.values(Type))

export function encodeHeader({ type, sequence, status, length, descriptors }: Packet): Buffer {
  const header = Buffer.allocUnsafe(HEADER)
  header.writeUInt32LE(MAGIC, 0)
  header.writeUInt32LE(type, 4)
  header.writeUInt32LE(sequence, 8)
  header.writeInt32LE(status, 12)
  header.writeUInt32LE(length % HIGH, 16)
  header.writeUInt32LE(Math.floor(length / HIGH), 20)
  header.writeUInt32LE(descriptors, 24)
  header.writeUInt32LE(0, 28)
  return header
}

/** Undefined for what is no packet: unknown bits count as such. */
export function decodeHeader(bytes: Buffer): Packet | undefined {
  if (bytes.length < HEADER || bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(28) !== 0)
    return undefined
  const type = bytes.readUInt32LE(4)
  const length = bytes.readUInt32LE(20) * HIGH + bytes.readUInt32LE(16)
  if (!types.has(type) || !Number.isSafeInteger(length)) return undefined
  return {
    type: type as PacketType,
    sequence: bytes.readUInt32LE(8),
    status: bytes.readInt32LE(12),
    length,
    descriptors: bytes.readUInt32LE(24),
  }
}
