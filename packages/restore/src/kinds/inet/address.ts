import type { InetSkEntry } from '../../images/index.ts'

export const AF_INET = 2
export const AF_INET6 = 10

/** An address with a port. The words are four bytes each, as they lie in memory: in the order of the network. */
export interface Endpoint {
  readonly family: number
  /** One or four. */
  readonly words: readonly number[]
  /** In the order of the host. */
  readonly port: number
}

/** The third word of an IPv4 address in IPv6 (`::ffff:0:0/96`). */
const MAPPED: number = wordOf([0, 0, 0xff, 0xff])

export function sourceOf({ family, srcAddr, srcPort }: InetSkEntry): Endpoint {
  return { family, words: wordsOf(family, srcAddr), port: srcPort }
}

export function destinationOf({ family, dstAddr, dstPort }: InetSkEntry): Endpoint {
  return { family, words: wordsOf(family, dstAddr), port: dstPort }
}

/** Images of CRIU 0.1 have four words of an IPv4 address, too. */
function wordsOf(family: number, words: readonly number[]): readonly number[] {
  return words.slice(0, family === AF_INET6 ? 4 : 1)
}

export function isAny({ words }: Endpoint): boolean {
  return words.every((word) => word === 0)
}

/** The IPv4 address that an IPv6 one stands for, or the address itself where it is one of IPv4. */
export function v4Of({ family, words }: Endpoint): number | undefined {
  if (family === AF_INET) return words[0]
  return words[0] === 0 && words[1] === 0 && words[2] === MAPPED ? words[3] : undefined
}

/** The bytes of an address, in the order of the network. */
export function addressBytes(words: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(words).buffer)
}

/** A struct sockaddr_in or sockaddr_in6. */
export function socketAddress({ family, words, port }: Endpoint): Uint8Array {
  const isV6 = family === AF_INET6
  const bytes = Buffer.alloc(isV6 ? 28 : 16)
  bytes.writeUInt16LE(family, 0)
  bytes.writeUInt16BE(port, 2)
  bytes.set(addressBytes(words), isV6 ? 8 : 4)
  return bytes
}

/** `127.0.0.1:80`, `[::1]:80`. */
export function endpointText({ family, words, port }: Endpoint): string {
  const [first = 0] = words
  if (family === AF_INET)
    return `${first & 0xff}.${(first >>> 8) & 0xff}.${(first >>> 16) & 0xff}.${first >>> 24}:${port}`
  const bytes = addressBytes(words)
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0))
  // The URL parser shortens it.
  return `${new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`).hostname}:${port}`
}

export function isLinkLocal({ family, words }: Endpoint): boolean {
  if (family !== AF_INET6) return false
  const [first = 0, second = 0] = addressBytes(words)
  return first === 0xfe && (second & 0xc0) === 0x80
}

function wordOf(bytes: readonly number[]): number {
  return new Uint32Array(Uint8Array.from(bytes).buffer)[0] ?? 0
}
