import type {
  InetSkEntry,
  IpOptsEntry,
  IpOptsRawEntry,
  SkOptsEntry,
  TcpStreamEntry,
} from '../../images/index.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { setOption, SO_PRIORITY, SOL_SOCKET } from '../socket-options.ts'
import { AF_INET6 } from './address.ts'
import { IPPROTO_ICMP, IPPROTO_ICMPV6 } from './protocol.ts'

export const SOL_IP = 0
export const SOL_TCP = 6
export const SOL_IPV6 = 41
const SOL_ICMPV6 = 58
const SOL_RAW = 255

const IP_TOS = 1
const IP_TTL = 2
const IP_HDRINCL = 3
const IP_PKTINFO = 8
const IP_FREEBIND = 15
const IP_NODEFRAG = 22

export const IPV6_V6ONLY = 26
const IPV6_HDRINCL = 36
const IPV6_RECVPKTINFO = 49
const IPV6_FREEBIND = 78

const ICMP_FILTER = 1
const ICMPV6_FILTER = 1

const TCP_NODELAY = 1
const TCP_CORK = 3
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6

/** IP_FREEBIND, for both versions of IP. */
export function setFreebind(ops: TaskOps, slot: Slot, family: number, value: boolean): void {
  const option = family === AF_INET6 ? ([SOL_IPV6, IPV6_FREEBIND] as const) : ([SOL_IP, IP_FREEBIND] as const)
  setOption(ops, slot, option, value ? 1 : 0)
}

/** Options of ip(7), ipv6(7) and raw(7), but those that matter when a socket is bound. */
export function restoreIpOptions(ops: TaskOps, slot: Slot, entry: InetSkEntry): void {
  const { family, ipOpts, opts } = entry
  if (ipOpts === undefined) return
  if (family === AF_INET6) {
    if (ipOpts.pktinfo) setOption(ops, slot, [SOL_IPV6, IPV6_RECVPKTINFO], 1)
  } else restoreIpv4Options(ops, slot, ipOpts, opts)
  if (ipOpts.raw !== undefined) restoreRawOptions(ops, slot, entry, ipOpts.raw)
}

function restoreIpv4Options(
  ops: TaskOps,
  slot: Slot,
  { pktinfo, tos, ttl }: IpOptsEntry,
  opts: SkOptsEntry,
): void {
  if (pktinfo) setOption(ops, slot, [SOL_IP, IP_PKTINFO], 1)
  if (ttl !== 0) setOption(ops, slot, [SOL_IP, IP_TTL], ttl)
  if (tos === 0) return
  setOption(ops, slot, [SOL_IP, IP_TOS], tos)
  // The kernel derives a priority from it; another one is set with the options of the socket.
  if (opts.soPriority === 0) setOption(ops, slot, [SOL_SOCKET, SO_PRIORITY], 0)
}

function restoreRawOptions(
  ops: TaskOps,
  slot: Slot,
  { family, proto }: InetSkEntry,
  { nodefrag, hdrincl, icmpvFilter }: IpOptsRawEntry,
): void {
  const isV6 = family === AF_INET6
  if (nodefrag) setOption(ops, slot, [SOL_IP, IP_NODEFRAG], 1)
  if (hdrincl) setOption(ops, slot, isV6 ? [SOL_IPV6, IPV6_HDRINCL] : [SOL_IP, IP_HDRINCL], 1)
  if (icmpvFilter.length === 0 || proto !== (isV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return
  const bytes = new Uint8Array(Uint32Array.from(icmpvFilter).buffer)
  const [level, option] = isV6 ? [SOL_ICMPV6, ICMPV6_FILTER] : [SOL_RAW, ICMP_FILTER]
  ops.call('setsockopt', [{ slot }, level, option, { bytes }, bytes.length])
}

/** Options of tcp(7). In older images they are with those of the socket, or with its queues. */
export function restoreTcpOptions(
  ops: TaskOps,
  slot: Slot,
  entry: InetSkEntry,
  stream?: TcpStreamEntry,
): void {
  const { tcpOpts, opts } = entry
  const set = (option: number, value: number): void => {
    setOption(ops, slot, [SOL_TCP, option], value)
  }
  if ((tcpOpts?.nodelay ?? false) || (stream?.nodelay ?? false)) set(TCP_NODELAY, 1)
  if (hasCork(entry, stream)) set(TCP_CORK, 1)
  const idle = Math.max(tcpOpts?.keepidle ?? 0, opts.tcpKeepidle)
  const interval = Math.max(tcpOpts?.keepintvl ?? 0, opts.tcpKeepintvl)
  const count = Math.max(tcpOpts?.keepcnt ?? 0, opts.tcpKeepcnt)
  if (idle !== 0) set(TCP_KEEPIDLE, idle)
  if (interval !== 0) set(TCP_KEEPINTVL, interval)
  if (count !== 0) set(TCP_KEEPCNT, count)
}

export function hasCork({ tcpOpts }: InetSkEntry, stream?: TcpStreamEntry): boolean {
  return (tcpOpts?.cork ?? false) || (stream?.cork ?? false)
}

/** Has a socket without TCP_CORK send what waits in it, as far as its peer takes it. */
export function pushUnsent(ops: TaskOps, slot: Slot): void {
  setOption(ops, slot, [SOL_TCP, TCP_CORK], 0)
}
