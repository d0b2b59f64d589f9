import { AF_INET, addressBytes, v4Of, type Endpoint } from './address.ts'

const IPPROTO_TCP = 6
const HOP_LIMIT = 64
const TCP_HEADER = 20

export const TH_FIN = 0x01
export const TH_RST = 0x04
export const TH_ACK = 0x10

/** A TCP segment without data and options. */
export interface Segment {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly flags: number
  readonly seq: number
  readonly ack: number
  /** As it is on the wire: shifted by the window scale. */
  readonly window: number
}

/** The family of the packets of a connection: IPv4 where IPv6 sockets have mapped addresses. */
export function packetFamily(endpoint: Endpoint): number {
  return v4Of(endpoint) === undefined ? endpoint.family : AF_INET
}

/** A segment with its IP header, as a raw socket takes it that is given headers (raw(7), IP_HDRINCL). */
export function packetOf(segment: Segment): Uint8Array {
  const from = addressOnWire(segment.from)
  const to = addressOnWire(segment.to)
  const header = from.length === 4 ? ipv4Header(from, to) : ipv6Header(from, to)
  return Buffer.concat([header, tcpHeader(segment, from, to)])
}

function addressOnWire(endpoint: Endpoint): Uint8Array {
  const mapped = v4Of(endpoint)
  return addressBytes(mapped === undefined ? endpoint.words : [mapped])
}

/** The kernel fills in the identification and the checksum (RFC 791). */
function ipv4Header(from: Uint8Array, to: Uint8Array): Buffer {
  const header = Buffer.alloc(20)
  header[0] = 0x45
  header.writeUInt16BE(header.length + TCP_HEADER, 2)
  header[8] = HOP_LIMIT
  header[9] = IPPROTO_TCP
  header.set(from, 12)
  header.set(to, 16)
  return header
}

/** RFC 8200. */
function ipv6Header(from: Uint8Array, to: Uint8Array): Buffer {
  const header = Buffer.alloc(40)
  header[0] = 0x60
  header.writeUInt16BE(TCP_HEADER, 4)
  header[6] = IPPROTO_TCP
  header[7] = HOP_LIMIT
  header.set(from, 8)
  header.set(to, 24)
  return header
}

/** RFC 9293, 3.1. */
function tcpHeader({ from, to, flags, seq, ack, window }: Segment, ...ips: readonly Uint8Array[]): Buffer {
  const header = Buffer.alloc(TCP_HEADER)
  header.writeUInt16BE(from.port, 0)
  header.writeUInt16BE(to.port, 2)
  header.writeUInt32BE(seq >>> 0, 4)
  header.writeUInt32BE((flags & TH_ACK) === 0 ? 0 : ack >>> 0, 8)
  header[12] = (TCP_HEADER / 4) << 4
  header[13] = flags
  header.writeUInt16BE(Math.min(window, 0xffff), 14)
  // The pseudo-header is the same sum for both versions of IP.
  const pseudo = Buffer.from([0, IPPROTO_TCP, 0, TCP_HEADER])
  header.writeUInt16BE(checksum(Buffer.concat([...ips, pseudo, header])), 16)
  return header
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
