import { statSync } from 'node:fs'
import { binding } from './binding.ts'
import type { InetAddress } from './socket-address.ts'

/** What sock_diag(7) tells of a Unix socket. */
export interface UnixDiagnosis {
  /** TCP_ESTABLISHED, TCP_CLOSE or TCP_LISTEN. */
  readonly state: number
  readonly type: number
  /** As bind(2) had it, a final NUL included; empty for none. */
  readonly name: Buffer
  /** Inode of the peer, 0 for none and for one that nobody has accepted. */
  readonly peer: number
  /** Of a listener: inodes of those who wait for accept(2), in their order; 0 for one that has gone. */
  readonly waiting: readonly number[]
  /** Of a listener its backlog; of others bytes that they have sent and that have not been received. */
  readonly outgoing: number
  readonly shutdown: number
}

/** What sock_diag(7) tells of a socket of IPv4 or IPv6 that its calls do not. */
export interface InetDiagnosis {
  readonly shutdown: number
  /** Four words, whatever the family. getpeername(2) does not tell it before the connection is there. */
  readonly peer: InetAddress
}

/** What packet_diag tells of a packet socket. */
export interface PacketDiagnosis {
  readonly multicast: readonly { index: number; type: number; addr: Buffer }[]
  readonly receiveRing: PacketRing | undefined
  readonly sendRing: PacketRing | undefined
}

export interface PacketRing {
  readonly blockSize: number
  readonly blockNr: number
  readonly frameSize: number
  readonly frameNr: number
  readonly retireTmo: number
  readonly sizeofPriv: number
  readonly features: number
}

const AF_UNIX = 1
const AF_PACKET = 17

type Attributes = ReadonlyMap<number, Buffer>

function attributesOf(message: Buffer, begin: number): Attributes {
  const attributes = new Map<number, Buffer>()
  for (let at = begin; at + 4 <= message.length;) {
    const length = message.readUInt16LE(at)
    if (length < 4) break
    attributes.set(message.readUInt16LE(at + 2) & 0x3fff, message.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return attributes
}

/** The bodies of netlink messages. */
function* bodiesOf(answers: Buffer): Generator<Buffer> {
  const header = 16
  for (let at = 0; at + header <= answers.length;) {
    const length = answers.readUInt32LE(at)
    yield answers.subarray(at + header, at + length)
    at += (length + 3) & ~3
  }
}

const wordsOf = (bytes: Buffer | undefined): number[] =>
  Array.from({ length: (bytes?.length ?? 0) >>> 2 }, (_, at) => bytes?.readUInt32LE(at * 4) ?? 0)

function unixRequest(): Buffer {
  const request = Buffer.alloc(24)
  request.writeUInt8(AF_UNIX, 0)
  request.writeUInt32LE(0xffffffff, 4) // all states
  request.writeUInt32LE(0x7f, 12) // everything
  request.fill(0xff, 16) // no cookie
  return request
}

function parseUnix(answers: Buffer): Map<number, UnixDiagnosis> {
  const sockets = new Map<number, UnixDiagnosis>()
  for (const body of bodiesOf(answers)) {
    const attributes = attributesOf(body, 16)
    sockets.set(body.readUInt32LE(4), {
      type: body.readUInt8(1),
      state: body.readUInt8(2),
      name: attributes.get(0) ?? Buffer.alloc(0),
      peer: attributes.get(2)?.readUInt32LE(0) ?? 0,
      waiting: wordsOf(attributes.get(3)),
      outgoing: attributes.get(4)?.readUInt32LE(4) ?? 0,
      shutdown: attributes.get(6)?.readUInt8(0) ?? 0,
    })
  }
  return sockets
}

function inetRequest(family: number, protocol: number): Buffer {
  const request = Buffer.alloc(56)
  request.writeUInt8(family, 0)
  request.writeUInt8(protocol, 1)
  request.writeUInt8(0xff, 2)
  request.writeUInt32LE(0xffffffff, 4)
  return request
}

const TCP_SYN_SENT = 2

/** Those of which there is something to tell. */
function parseInet(answers: Buffer): Map<number, InetDiagnosis> {
  const sockets = new Map<number, InetDiagnosis>()
  for (const body of bodiesOf(answers)) {
    const shutdown = attributesOf(body, 72).get(8)?.readUInt8(0) ?? 0
    if (shutdown === 0 && body.readUInt8(1) !== TCP_SYN_SENT) continue
    const peer = { port: body.readUInt16BE(6), words: wordsOf(body.subarray(24, 40)), scope: 0 }
    sockets.set(body.readUInt32LE(68), { shutdown, peer })
  }
  return sockets
}

function packetRequest(): Buffer {
  const request = Buffer.alloc(20)
  request.writeUInt8(AF_PACKET, 0)
  request.writeUInt32LE(0x3f, 8)
  request.fill(0xff, 12)
  return request
}

function ringOf(bytes: Buffer | undefined): PacketRing | undefined {
  const [blockSize, blockNr, frameSize, frameNr, retireTmo, sizeofPriv, features] = wordsOf(bytes)
  if (blockSize === undefined || blockNr === undefined || frameSize === undefined || frameNr === undefined) {
    return undefined
  }
  return {
    blockSize,
    blockNr,
    frameSize,
    frameNr,
    retireTmo: retireTmo ?? 0,
    sizeofPriv: sizeofPriv ?? 0,
    features: features ?? 0,
  }
}

function multicastOf(bytes: Buffer | undefined): PacketDiagnosis['multicast'] {
  const size = 44 // packet_diag_mclist: index, count, type, length, 32 bytes of address
  return Array.from({ length: Math.floor((bytes?.length ?? 0) / size) }, (_, nth) => {
    const one = (bytes as Buffer).subarray(nth * size, (nth + 1) * size)
    return {
      index: one.readUInt32LE(0),
      type: one.readUInt16LE(8),
      addr: Buffer.from(one.subarray(12, 12 + one.readUInt16LE(10))),
    }
  })
}

function parsePackets(answers: Buffer): Map<number, PacketDiagnosis> {
  const sockets = new Map<number, PacketDiagnosis>()
  for (const body of bodiesOf(answers)) {
    const attributes = attributesOf(body, 16)
    sockets.set(body.readUInt32LE(4), {
      multicast: multicastOf(attributes.get(1)),
      receiveRing: ringOf(attributes.get(2)),
      sendRing: ringOf(attributes.get(3)),
    })
  }
  return sockets
}

/** Answers are kept: one question for each namespace, family and protocol. A negative errno stands for no answer. */
export class Diagnosis {
  readonly #own = Number(statSync('/proc/self/ns/net', { bigint: true }).ino)
  readonly #answers = new Map<string, unknown>()

  /** Unix sockets of the namespace that `socket` is in, by inode. */
  unix(socket: number, space: number): ReadonlyMap<number, UnixDiagnosis> | number {
    return this.#ask('unix', socket, space, unixRequest(), parseUnix)
  }

  packets(socket: number, space: number): ReadonlyMap<number, PacketDiagnosis> | number {
    return this.#ask('packet', socket, space, packetRequest(), parsePackets)
  }

  /** TCP and UDP; those that are not in it are neither shut down nor waiting for an answer. */
  inet(
    socket: number,
    space: number,
    family: number,
    protocol: number,
  ): ReadonlyMap<number, InetDiagnosis> | number {
    return this.#ask(`${family}/${protocol}`, socket, space, inetRequest(family, protocol), parseInet)
  }

  #ask<T>(
    what: string,
    socket: number,
    space: number,
    request: Buffer,
    parse: (answers: Buffer) => T,
  ): T | number {
    const key = `${space}:${what}`
    if (!this.#answers.has(key)) {
      const answers = binding.diagnose(space === this.#own ? -1 : socket, request)
      this.#answers.set(key, typeof answers === 'number' ? answers : parse(answers))
    }
    return this.#answers.get(key) as T | number
  }
}
