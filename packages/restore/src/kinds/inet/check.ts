import { existsSync, readFileSync } from 'node:fs'
import type { Problem } from '../../errors.ts'
import { has, type InetSkEntry, type TcpStream } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import { hasCapability } from '../../plan/machine.ts'
import type { Situation } from '../kind.ts'
import { isElsewhere, networkOf, type LivingSocket } from '../network.ts'
import { checkSocketOptions } from '../socket-options.ts'
import {
  AF_INET,
  AF_INET6,
  destinationOf,
  endpointText,
  isAny,
  isLinkLocal,
  sourceOf,
  type Endpoint,
} from './address.ts'
import { needsPackets, streamOf } from './connection.ts'
import { OPTION } from './repair.ts'
import { overlap } from './ports.ts'
import {
  IPPROTO_TCP,
  isConnection,
  isTcp,
  protocolText,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  STATE,
  stateText,
} from './protocol.ts'

const CAP_NET_BIND_SERVICE = 10n
const CAP_NET_ADMIN = 12n
const CAP_NET_RAW = 13n
/** The largest shift of a window (RFC 7323). */
const MAX_WINDOW_SCALE = 14
const HALF = 2 ** 31
const TIME_WAIT = 6

const entryOf = (file: File): InetSkEntry => file.entry.isk as InetSkEntry

/** What is wrong with an internet socket, and what is in its way here. */
export function* checkInetSocket(file: File, situation: Situation): Iterable<Problem> {
  const entry = entryOf(file)
  const wrong = [...checkEntry(file)]
  yield* wrong
  // Its addresses mean something only when they are some.
  if (wrong.length > 0) return
  yield* checkPrivilege(file, situation)
  yield* checkSocketOptions(entry.opts, file.id, situation)
  yield* checkPlace(file, situation)
  warnOfBacklog(file, situation)
  if (isConnection(entry) && !situation.images.inventory.tcpClose) yield* checkConnection(file, situation)
}

function problem(file: File, reason: string, message: string): Problem {
  const [first] = file.fles
  const holder = first === undefined ? {} : { pid: first.table.owner.pid, fd: first.fd }
  return { reason, message, image: 'files.img', file: file.id, ...holder }
}

function* checkEntry(file: File): Iterable<Problem> {
  const { family, type, proto, state, srcAddr, dstAddr, srcPort, dstPort } = entryOf(file)
  const name = `internet socket ${file.id}`
  if (family !== AF_INET && family !== AF_INET6) {
    yield problem(
      file,
      'unknown-socket',
      `${name} is of the family ${family}, and only 2 and 10 are of internet sockets`,
    )
    return
  }
  const isKnown = (type === SOCK_STREAM && proto === IPPROTO_TCP) || type === SOCK_DGRAM || type === SOCK_RAW
  if (!isKnown)
    yield problem(
      file,
      'unknown-socket',
      `${name} is of the type ${type} and the protocol ${proto}, which cannot be restored`,
    )
  const words = family === AF_INET ? 1 : 4
  if (srcAddr.length < words || dstAddr.length < words)
    yield problem(
      file,
      'bad-address',
      `${name} has an address of ${srcAddr.length} and a peer of ${dstAddr.length} words, and ${words} are needed: the images are damaged`,
    )
  if (srcPort > 0xffff || dstPort > 0xffff)
    yield problem(
      file,
      'bad-address',
      `${name} has the ports ${srcPort} and ${dstPort}: the images are damaged`,
    )
  if (isTcp(entryOf(file)) && stateText(state) === undefined)
    yield problem(
      file,
      'unknown-state',
      `${name} is in the state ${state} of TCP, which no descriptor can have`,
    )
}

function* checkPrivilege(file: File, situation: Situation): Iterable<Problem> {
  const entry = entryOf(file)
  const { once } = situation
  const may = once('network capabilities', () => ({
    admin: hasCapability(CAP_NET_ADMIN),
    raw: hasCapability(CAP_NET_RAW),
    lowPorts: hasCapability(CAP_NET_BIND_SERVICE),
  }))
  const firstFree = settingOf('ipv4/ip_unprivileged_port_start', situation) ?? 0
  if (entry.type !== SOCK_RAW && entry.srcPort !== 0 && entry.srcPort < firstFree && !may.lowPorts)
    yield problem(
      file,
      'no-privilege',
      `${text(entry)} has a port below ${firstFree}, which only CAP_NET_BIND_SERVICE can give: run with it`,
    )
  if (isConnection(entry) && !may.admin)
    yield problem(
      file,
      'no-privilege',
      `a TCP connection cannot be restored without CAP_NET_ADMIN (TCP_REPAIR): run with it`,
    )
  if (entry.type === SOCK_RAW && !may.raw)
    yield problem(file, 'no-privilege', `a raw socket cannot be made without CAP_NET_RAW: run with it`)
  if (isConnection(entry) && needsPackets(entry.state) && !may.raw)
    yield problem(
      file,
      'no-privilege',
      `a TCP connection that is ${stateText(entry.state)} cannot be restored without CAP_NET_RAW: run with it`,
    )
}

/** A setting of the network, where it can be seen: in the namespace of this process. */
function settingOf(name: string, { once, networkNamespace }: Situation): number | undefined {
  if (networkNamespace !== undefined) return undefined
  const path = `/proc/sys/net/${name}`
  return once(path, () => (existsSync(path) ? Number(readFileSync(path, 'utf8')) : undefined))
}

function warnOfBacklog(file: File, situation: Situation): void {
  const { state, backlog } = entryOf(file)
  const most = settingOf('core/somaxconn', situation)
  if (state !== STATE.listen || most === undefined || backlog <= most) return
  const message = `${text(entryOf(file))} had ${backlog} connections at most that wait, and ${most} are the most here: raise net.core.somaxconn`
  situation.warn(problem(file, 'backlog-limit', message))
}

/** Where it would be: its namespace, its device, its port. */
function* checkPlace(file: File, situation: Situation): Iterable<Problem> {
  const entry = entryOf(file)
  const { ifname, opts } = entry
  const { sockets, devices } = networkOf(situation)
  const device = ifname === '' ? opts.soBoundDev : ifname
  if (device !== '' && devices?.has(device) === false)
    yield problem(file, 'device-missing', `the device ${device} of ${text(entry)} is not here: make it first`)
  if (device === '' && isLinkLocal(sourceOf(entry)))
    yield problem(
      file,
      'bad-address',
      `${text(entry)} has a link-local address and no device, so nobody knows which network it is of`,
    )
  if (isElsewhere(entry, situation))
    yield problem(
      file,
      'several-namespaces',
      `${text(entry)} is in another network namespace than others of these images, and all are restored in one`,
    )
  const living = sockets.get(`${entry.proto}:${entry.srcPort}`) ?? []
  const taker = living.find((each) => isInTheWay(entry, each, device))
  if (taker !== undefined)
    yield problem(
      file,
      'port-taken',
      `${text(entry)} cannot be there, because ${endpointText(taker.local)} is in use here: end who has it, or restore in a network namespace of its own`,
    )
}

function isInTheWay(entry: InetSkEntry, living: LivingSocket, device: string): boolean {
  if (entry.srcPort === 0 || entry.type === SOCK_RAW) return false
  return isConnection(entry) ? isTheSame(entry, living) : takesTheAddress(entry, living, device)
}

function isTheSame(entry: InetSkEntry, { state, local, remote }: LivingSocket): boolean {
  if (state === TIME_WAIT || remote.port !== entry.dstPort) return false
  return isSame(sourceOf(entry), local) && isSame(destinationOf(entry), remote)
}

/** Whether the kernel would refuse the address, or, where it would not, would have refused it to the one that was. */
function takesTheAddress(entry: InetSkEntry, { state, local }: LivingSocket, device: string): boolean {
  // Those that allow it, or that have a device, may be able to share it: the kernel knows.
  if (entry.opts.soReuseport || device !== '') return false
  if (isTcp(entry) ? state !== STATE.listen : entry.opts.reuseaddr) return false
  // Whether one of IPv6 takes what is of IPv4, too, cannot be seen.
  const isUnclear = local.family === AF_INET6 && isAny(local) && entry.family === AF_INET
  const isApart = entry.v6only && local.family === AF_INET
  return !isUnclear && !isApart && overlap(sourceOf(entry), local)
}

function isSame(one: Endpoint, other: Endpoint): boolean {
  return one.port === other.port && one.words.join() === other.words.join()
}

function text(entry: InetSkEntry): string {
  return `${protocolText(entry)} socket ${endpointText(sourceOf(entry))}`
}

function* checkConnection(file: File, situation: Situation): Iterable<Problem> {
  const entry = entryOf(file)
  const image = `tcp-stream-${entry.ino.toString(16)}.img`
  const stream = streamOf(file, situation)
  if (stream === undefined) {
    yield {
      ...problem(
        file,
        'stream-missing',
        `${image} of ${text(entry)} is not there: dump with --tcp-established`,
      ),
      image,
    }
    return
  }
  for (const [reason, message] of faultsOf(entry, stream))
    yield { ...problem(file, reason, `${image}: ${message}`), image }
}

/** What the kernel would refuse in the middle. */
function* faultsOf(
  { state }: InetSkEntry,
  { entry, inq, outq }: TcpStream,
): Iterable<[reason: string, message: string]> {
  const { inqLen, outqLen, unsqLen, sndWscale, rcvWscale, optMask } = entry
  if (inq.length !== inqLen || outq.length !== outqLen)
    yield [
      'queue-length',
      `the queues hold ${inq.length} and ${outq.length} bytes, and should hold ${inqLen} and ${outqLen}`,
    ]
  if (unsqLen > outqLen)
    yield ['queue-length', `of ${outqLen} bytes to be sent, ${unsqLen} are said to be unsent`]
  if ((optMask & OPTION.windowScale) !== 0 && Math.max(sndWscale, rcvWscale) > MAX_WINDOW_SCALE)
    yield ['bad-window', `a window is shifted by ${Math.max(sndWscale, rcvWscale)} bits, and 14 are the most`]
  if (!has(entry, 'sndWnd') || state === STATE.synSent || state === STATE.close) return
  const { maxWindow, sndWnd, sndWl1, rcvWnd, rcvWup, inqSeq } = entry
  if (maxWindow < sndWnd)
    yield [
      'bad-window',
      `the largest window of the peer, ${maxWindow}, is smaller than the last one, ${sndWnd}`,
    ]
  if (isAfter(sndWl1, inqSeq + rcvWnd) || isAfter(rcvWup, inqSeq))
    yield ['bad-window', `the window begins behind what was received`]
}

/** In the circle of sequence numbers (RFC 9293, 3.4). */
function isAfter(one: number, other: number): boolean {
  const distance = (one - other) >>> 0
  return distance !== 0 && distance < HALF
}
