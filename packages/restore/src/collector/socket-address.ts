import { binding } from './binding.ts'

/** An address of IPv4 or IPv6. */
export interface InetAddress {
  readonly port: number
  /** One word or four, as they lie in memory. */
  readonly words: readonly number[]
  /** Number of the interface that a link-local address is of; 0 for none. */
  readonly scope: number
}

const AF_INET = 2
const room = 128

/** What getsockname(2) or getpeername(2) says; a negative errno where it fails. */
export function addressOf(socket: number, whose: 'own' | 'peer'): Buffer | number {
  const memory = Buffer.alloc(room)
  const length = binding.name(socket, whose === 'peer' ? 1 : 0, memory)
  return length < 0 ? length : memory.subarray(0, Math.min(length, room))
}

/** Of a socket of `family`; no address is all zeros. */
export function inetAddressOf(socket: number, whose: 'own' | 'peer', family: number): InetAddress {
  const name = addressOf(socket, whose)
  const count = family === AF_INET ? 1 : 4
  const begin = family === AF_INET ? 4 : 8
  if (typeof name === 'number' || name.length < begin + count * 4) {
    return { port: 0, words: Array<number>(count).fill(0), scope: 0 }
  }
  return {
    port: name.readUInt16BE(2),
    words: Array.from({ length: count }, (_, at) => name.readUInt32LE(begin + at * 4)),
    scope: family === AF_INET ? 0 : name.readUInt32LE(24),
  }
}
