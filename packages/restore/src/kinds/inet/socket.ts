import { SkShutdown, type InetSkEntry } from '../../images/index.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from '../flags.ts'
import type { OpenContext } from '../kind.ts'
import { SO_BINDTODEVICE, SO_DONTROUTE, SO_MARK, SOL_SOCKET, setOption } from '../socket-options.ts'
import { setStatusFlags } from '../status-flags.ts'
import { AF_INET6, isAny, socketAddress, sourceOf } from './address.ts'
import { IPV6_V6ONLY, setFreebind, SOL_IPV6 } from './options.ts'
import { SOCK_RAW } from './protocol.ts'

export const ENOTCONN = 107

/** A socket with what has to be set before it gets an address. */
export function newSocket({ ops, cloexec }: OpenContext, entry: InetSkEntry, nonblock: boolean): Slot {
  const { family, type, proto, flags, v6only, ifname, opts } = entry
  const told = nonblock ? O_NONBLOCK : 0
  const slot = ops.open('socket', [
    family,
    // SOCK_NONBLOCK and SOCK_CLOEXEC are these flags.
    type | told | (cloexec ? O_CLOEXEC : 0),
    proto,
  ])
  setStatusFlags(ops, slot, flags | told, told)
  if (family === AF_INET6 && v6only) setOption(ops, slot, [SOL_IPV6, IPV6_V6ONLY], 1)
  // The device is a part of the address. It is also the scope of a link-local one (ipv6(7)).
  const device = ifname === '' ? opts.soBoundDev : ifname
  if (device !== '') bindToDevice(ops, slot, device)
  // On these depends which way leads to a peer, and whether there is any.
  if (opts.soMark !== 0) setOption(ops, slot, [SOL_SOCKET, SO_MARK], opts.soMark)
  if (opts.soDontroute) setOption(ops, slot, [SOL_SOCKET, SO_DONTROUTE], 1)
  return slot
}

export function bindToDevice(ops: TaskOps, slot: Slot, device: string): void {
  const bytes = Buffer.from(`${device}\0`)
  ops.call('setsockopt', [{ slot }, SOL_SOCKET, SO_BINDTODEVICE, { bytes }, bytes.length])
}

/** Gives it its address. */
export function bindSocket(ops: TaskOps, slot: Slot, entry: InetSkEntry): void {
  const source = sourceOf(entry)
  const wanted = entry.ipOpts?.freebind ?? false
  // An address of IPv6 can be new here, and tentative for a while (RFC 4862).
  const lent = !wanted && entry.family === AF_INET6 && entry.type !== SOCK_RAW && !isAny(source)
  if (wanted || lent) setFreebind(ops, slot, entry.family, true)
  if (source.port !== 0 || !isAny(source)) {
    const address = socketAddress(entry.type === SOCK_RAW ? { ...source, port: 0 } : source)
    ops.call('bind', [{ slot }, { bytes: address }, address.length])
  }
  if (lent) setFreebind(ops, slot, entry.family, false)
}

/** Ends directions of it that have ended. The call says ENOTCONN where there is no connection, and does what it shall. */
export function shutDown(ops: TaskOps, slot: Slot, shutdown: SkShutdown): void {
  if (shutdown !== SkShutdown.NONE) ops.call('shutdown', [{ slot }, shutdown - 1], { tolerate: ENOTCONN })
}
