import type { MessageInitShape } from '@bufbuild/protobuf'
import type { TcpStream } from '../images/image-set.ts'
import {
  FdType,
  makeMessage,
  TcpStreamEntrySchema,
  type InetSkEntrySchema,
  type SkShutdown,
  type IpOptsEntrySchema,
  type TcpOptsEntrySchema,
} from '../images/messages.ts'
import { binding } from './binding.ts'
import type { Diagnosis, InetDiagnosis } from './diagnosis.ts'
import { EAGAIN, EPERM, textOf } from './errno.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import type { Namespaces } from './namespaces.ts'
import { placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'
import { addressOf, inetAddressOf } from './socket-address.ts'
import {
  bytesOption,
  numberOption,
  SO_DOMAIN,
  SO_PROTOCOL,
  SO_TYPE,
  socketOptionsOf,
  SOL_SOCKET,
} from './socket-options.ts'

type InetSocket = MessageInitShape<typeof InetSkEntrySchema>
type IpOptions = MessageInitShape<typeof IpOptsEntrySchema>
type TcpOptions = MessageInitShape<typeof TcpOptsEntrySchema>

const AF_INET = 2
const SOCK_STREAM = 1
const SOCK_DGRAM = 2
const SOCK_RAW = 3
const IPPROTO_ICMP = 1
const IPPROTO_TCP = 6
const IPPROTO_UDP = 17
const IPPROTO_ICMPV6 = 58
const IPPROTO_UDPLITE = 136
const IPPROTO_IPV6 = 41
const SOL_RAW = 255
const TCP_ESTABLISHED = 1
const TCP_SYN_SENT = 2
const TCP_CLOSE = 7
const TCP_LISTEN = 10
const TCP_INFO = 11
const SIOCOUTQ = 0x5411
const SIOCGIFNAME = 0x8910
/** States of a connection whose sequence numbers and queues are worth something. */
const connected: ReadonlySet<number> = new Set([TCP_ESTABLISHED, TCP_SYN_SENT, 4, 5, 8, 9, 11])

interface Kind {
  readonly family: number
  readonly type: number
  readonly protocol: number
}

function isKnown({ type, protocol }: Kind): boolean {
  if (type === SOCK_STREAM) return protocol === IPPROTO_TCP
  if (type === SOCK_DGRAM)
    return [IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_ICMP, IPPROTO_ICMPV6].includes(protocol)
  return type === SOCK_RAW
}

/** Sockets of IPv4 and IPv6: TCP, UDP, ICMP and raw. */
export class InetSockets {
  readonly streams: Map<number, TcpStream> = new Map<number, TcpStream>()
  readonly #files: FileList
  readonly #findings: Findings
  readonly #diagnosis: Diagnosis
  readonly #namespaces: Namespaces
  /** Whether the processes stand: in repair mode the calls of those that run would fail. */
  readonly #stands: boolean

  constructor(parts: {
    files: FileList
    findings: Findings
    diagnosis: Diagnosis
    namespaces: Namespaces
    stands: boolean
  }) {
    this.#files = parts.files
    this.#findings = parts.findings
    this.#diagnosis = parts.diagnosis
    this.#namespaces = parts.namespaces
    this.#stands = parts.stands
  }

  add(file: OpenFile): void {
    const { number } = file
    const kind = {
      family: numberOption(number, SOL_SOCKET, SO_DOMAIN) ?? 0,
      type: numberOption(number, SOL_SOCKET, SO_TYPE) ?? 0,
      protocol: numberOption(number, SOL_SOCKET, SO_PROTOCOL) ?? 0,
    }
    if (!isKnown(kind)) {
      const message = `${titleOf(file)} is a socket of protocol ${kind.protocol}, which images cannot have`
      this.#findings.refuse({ reason: 'unsupported-kind', ...placeOf(file), message })
    } else if (kind.type === SOCK_STREAM) this.#addTcp(file, kind)
    else this.#addMessages(file, kind)
  }

  #addTcp(file: OpenFile, kind: Kind): void {
    const { number } = file
    const info = bytesOption(number, IPPROTO_TCP, TCP_INFO, 104)
    const state = info?.readUInt8(0) ?? TCP_CLOSE
    const listens = state === TCP_LISTEN
    // Of a listener, tcp_info has the accept queue's length and limit in tcpi_unacked and tcpi_sacked.
    const pending = listens ? (info?.readUInt32LE(24) ?? 0) : 0
    if (pending > 0) {
      const message = `${pending} connections wait at ${titleOf(file)}: let the process accept them first`
      this.#findings.lose({ reason: 'pending-connection', ...placeOf(file), message })
    }
    const upper = bytesOption(number, IPPROTO_TCP, 31, 16)
    if (upper !== undefined && upper.length > 1) {
      const message = `${titleOf(file)} has the upper protocol ${upper.toString('latin1').replace(/\0.*/s, '')}`
      this.#findings.refuse({ reason: 'unsupported-kind', ...placeOf(file), message })
    }
    const backlog = listens ? (info?.readUInt32LE(28) ?? 0) : 0
    this.#addEntry(file, kind, { state, backlog, tcpOpts: tcpOptionsOf(number) })
    if (connected.has(state)) this.#addStream(file)
  }

  #addMessages(file: OpenFile, kind: Kind): void {
    const { number } = file
    const isConnected = typeof addressOf(number, 'peer') !== 'number'
    this.#addEntry(file, kind, { state: isConnected ? TCP_ESTABLISHED : TCP_CLOSE, backlog: 0, tcpOpts: {} })
    this.#checkQueues(file)
  }

  // Neither queue can be put back: nobody can send in another's name.
  #checkQueues(file: OpenFile): void {
    if (binding.hasInput(file.number) === 1) {
      const message = `datagrams wait in ${titleOf(file)}`
      this.#findings.lose({ reason: 'queue', ...placeOf(file), message })
    }
    const corked = new Int32Array(1)
    const isUdp = numberOption(file.number, IPPROTO_UDP, 1) === 1
    if (
      isUdp &&
      binding.deviceControl(file.number, SIOCOUTQ, new Uint8Array(corked.buffer)) === 0 &&
      corked[0] !== 0
    ) {
      const message = `${titleOf(file)} has begun a datagram that is not sent yet (UDP_CORK)`
      this.#findings.lose({ reason: 'corked', ...placeOf(file), message })
    }
  }

  #addEntry(file: OpenFile, kind: Kind, rest: { state: number; backlog: number; tcpOpts: TcpOptions }): void {
    const { id, number, info, stats, holder } = file
    const space = this.#namespaces.networkOf(number, holder)
    const own = inetAddressOf(number, 'own', kind.family)
    const isOpen = rest.state !== TCP_LISTEN && rest.state !== TCP_CLOSE
    const diagnosis = isOpen ? this.#diagnosisOf(file, space, kind) : undefined
    const peer =
      rest.state === TCP_SYN_SENT && diagnosis !== undefined
        ? { ...diagnosis.peer, words: diagnosis.peer.words.slice(0, own.words.length) }
        : inetAddressOf(isOpen ? number : -1, 'peer', kind.family)
    const { options, hasUnreadableFilter } = socketOptionsOf(number)
    if (hasUnreadableFilter) {
      const message = `${titleOf(file)} has a filter of eBPF, which cannot be read`
      this.#findings.lose({ reason: 'socket-filter', ...placeOf(file), message })
    }
    const isExclusive = kind.family === AF_INET ? undefined : numberOption(number, IPPROTO_IPV6, 26)
    const shutdown = diagnosis?.shutdown ?? 0
    const entry: InetSocket = {
      id,
      ino: Number(stats.ino),
      family: kind.family,
      type: kind.type,
      proto: kind.protocol,
      state: rest.state,
      srcPort: own.port,
      dstPort: peer.port,
      flags: info.flags,
      backlog: rest.backlog,
      srcAddr: [...own.words],
      dstAddr: [...peer.words],
      fown: ownerOf(number),
      opts: options,
      ...(isExclusive !== undefined && { v6only: isExclusive !== 0 }),
      ipOpts: ipOptionsOf(number, kind),
      ...(own.scope !== 0 && { ifname: interfaceOf(number, own.scope) }),
      nsId: this.#namespaces.idOfNetwork(space),
      ...(shutdown !== 0 && { shutdown: shutdown as SkShutdown }),
      tcpOpts: rest.tcpOpts,
    }
    this.#files.add({ type: FdType.INETSK, id, isk: entry })
  }

  #diagnosisOf(
    { number, stats }: OpenFile,
    space: number,
    { family, type, protocol }: Kind,
  ): InetDiagnosis | undefined {
    if (type === SOCK_RAW || protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) return undefined
    const sockets = this.#diagnosis.inet(number, space, family, protocol)
    return typeof sockets === 'number' ? undefined : sockets.get(Number(stats.ino))
  }

  #addStream(file: OpenFile): void {
    if (!this.#stands) {
      const message = `${titleOf(file)} is a TCP connection, which can only be read while its process stands: stop: 'freeze'`
      this.#findings.refuse({ reason: 'not-stopped', ...placeOf(file), message })
      return
    }
    const state = new Uint32Array(14)
    const queues = binding.tcpConnection(file.number, state)
    if (typeof queues === 'number') {
      const needs = queues === EPERM ? '; it needs CAP_NET_ADMIN' : ''
      const reason = queues === EPERM ? 'not-permitted' : queues === EAGAIN ? 'busy' : 'unreadable'
      const message = `the connection of ${titleOf(file)} cannot be read (TCP_REPAIR): ${textOf(queues)}${needs}`
      this.#findings.refuse({ reason, ...placeOf(file), message })
      return
    }
    const { receive, send } = queues
    const [, inqSeq, outqSeq, unsqLen, optMask, sndWscale, rcvWscale, mssClamp, timestamp] = state
    const [sndWl1, sndWnd, maxWindow, rcvWnd, rcvWup] = state.subarray(9)
    const entry = makeMessage(TcpStreamEntrySchema, {
      inqLen: receive.length,
      inqSeq: inqSeq ?? 0,
      outqLen: send.length,
      outqSeq: outqSeq ?? 0,
      optMask: (optMask ?? 0) & 7,
      sndWscale: sndWscale ?? 0,
      rcvWscale: rcvWscale ?? 0,
      mssClamp: mssClamp ?? 0,
      timestamp: timestamp ?? 0,
      unsqLen: unsqLen ?? 0,
      sndWl1: sndWl1 ?? 0,
      sndWnd: sndWnd ?? 0,
      maxWindow: maxWindow ?? 0,
      rcvWnd: rcvWnd ?? 0,
      rcvWup: rcvWup ?? 0,
    })
    this.streams.set(Number(file.stats.ino), { entry, inq: receive, outq: send })
  }
}

function tcpOptionsOf(socket: number): TcpOptions {
  return {
    ...(numberOption(socket, IPPROTO_TCP, 3) === 1 && { cork: true }),
    ...(numberOption(socket, IPPROTO_TCP, 1) === 1 && { nodelay: true }),
    keepidle: numberOption(socket, IPPROTO_TCP, 4) ?? 0,
    keepintvl: numberOption(socket, IPPROTO_TCP, 5) ?? 0,
    keepcnt: numberOption(socket, IPPROTO_TCP, 6) ?? 0,
  }
}

function ipOptionsOf(socket: number, { family, type, protocol }: Kind): IpOptions {
  const isOn = (name: number): boolean => (numberOption(socket, 0, name) ?? 0) !== 0
  const isRaw = type === SOCK_RAW
  if (family !== AF_INET) {
    const checksum = isRaw ? (numberOption(socket, IPPROTO_IPV6, 7) ?? -1) : -1
    const filter =
      isRaw && protocol === IPPROTO_ICMPV6 ? bytesOption(socket, IPPROTO_ICMPV6, 1, 32) : undefined
    return {
      ...(numberOption(socket, IPPROTO_IPV6, 78) === 1 && { freebind: true }),
      ...(isRaw && { raw: { ...(checksum >= 0 && { checksum: true }), icmpvFilter: wordsOf(filter) } }),
    }
  }
  const tos = numberOption(socket, 0, 1) ?? 0
  const filter = isRaw && protocol === IPPROTO_ICMP ? bytesOption(socket, SOL_RAW, 1, 4) : undefined
  return {
    ...(isOn(15) && { freebind: true }),
    ...(isRaw && {
      raw: {
        ...(isOn(3) && { hdrincl: true }),
        ...(isOn(22) && { nodefrag: true }),
        icmpvFilter: wordsOf(filter),
      },
    }),
    ...(isOn(8) && { pktinfo: true }),
    ...(tos !== 0 && { tos }),
    ttl: numberOption(socket, 0, 2) ?? 0,
  }
}

const wordsOf = (bytes: Buffer | undefined): number[] =>
  Array.from({ length: (bytes?.length ?? 0) >>> 2 }, (_, at) => bytes?.readUInt32LE(at * 4) ?? 0)

/** Asked of the socket, whose namespace is the one that the number is of. */
function interfaceOf(socket: number, index: number): string {
  const request = Buffer.alloc(40)
  request.writeInt32LE(index, 16)
  return binding.deviceControl(socket, SIOCGIFNAME, request) < 0
    ? ''
    : request.toString('latin1', 0, request.indexOf(0))
}
