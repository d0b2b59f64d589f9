import { readFileSync } from 'node:fs'
import { has, type SkOptsEntry } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import { hasCapability } from '../plan/machine.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import type { Situation } from './kind.ts'

const CAP_NET_ADMIN = 12n
const CAP_NET_RAW = 13n

export const SOL_SOCKET = 1
export const SO_REUSEADDR = 2
export const SO_DONTROUTE = 5
export const SO_BROADCAST = 6
export const SO_KEEPALIVE = 9
export const SO_OOBINLINE = 10
export const SO_NO_CHECK = 11
export const SO_PRIORITY = 12
export const SO_LINGER = 13
export const SO_REUSEPORT = 15
export const SO_PASSCRED = 16
export const SO_RCVLOWAT = 18
export const SO_RCVTIMEO = 20
export const SO_SNDTIMEO = 21
export const SO_BINDTODEVICE = 25
export const SO_ATTACH_FILTER = 26
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
export const SO_PASSSEC = 34
export const SO_MARK = 36
export const SO_BUF_LOCK = 72

/** As large as a buffer can be set; getsockopt(2) would give twice as much. */
const LARGEST = 0x3fffffff
/** Priorities above this need CAP_NET_ADMIN (socket(7)). */
const LAST_FREE_PRIORITY = 6
const MICROSECONDS = 1_000_000n
/** BPF_MAXINSNS. */
const LONGEST_FILTER = 4096

/** Sizes of the buffers of a socket, as getsockopt(2) gives them: twice of what was set. */
export interface Buffers {
  readonly sndbuf: number
  readonly rcvbuf: number
}

/** What a new socket has here that is not of TCP; undefined where it cannot be read. */
export function freshBuffers({ once }: Situation): Buffers | undefined {
  return once('buffers of new sockets', () => {
    try {
      const read = (name: string): number =>
        Number(readFileSync(`/proc/sys/net/core/${name}_default`, 'utf8'))
      return { sndbuf: read('wmem'), rcvbuf: read('rmem') }
    } catch {
      return undefined
    }
  })
}

/** Sets an option that is an int. */
export function setOption(
  ops: TaskOps,
  slot: Slot,
  [level, option]: readonly [number, number],
  value: number,
): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer)
  ops.call('setsockopt', [{ slot }, level, option, { bytes }, bytes.length])
}

/** Lets a socket send whatever is to be put in somebody's queue. {@link restoreSocketOptions} has to follow, without `fresh`. */
export function makeRoom(ops: TaskOps, slot: Slot): void {
  setOption(ops, slot, [SOL_SOCKET, SO_SNDBUFFORCE], LARGEST)
}

/**
 * The options of a socket of any family, as socket(7) has them, but SO_REUSEADDR and SO_REUSEPORT: these have their time
 * where there are ports. It comes when the queues are filled, for buffers may be smaller than what is in them. With
 * `fresh`, buffers that are as those of a new socket are left alone.
 */
export function restoreSocketOptions(ops: TaskOps, slot: Slot, opts: SkOptsEntry, fresh?: Buffers): void {
  const set = (option: number, value: number): void => {
    setOption(ops, slot, [SOL_SOCKET, option], value)
  }
  restoreBuffers(set, opts, fresh)
  if (opts.soPriority !== 0) set(SO_PRIORITY, opts.soPriority)
  if (has(opts, 'soRcvlowat') && opts.soRcvlowat !== 1) set(SO_RCVLOWAT, opts.soRcvlowat)
  if (opts.soMark !== 0) set(SO_MARK, opts.soMark)
  for (const [option, isSet] of switches(opts)) if (isSet) set(option, 1)
  if (has(opts, 'soLinger'))
    setBytes(ops, slot, SO_LINGER, new Uint8Array(new Int32Array([1, opts.soLinger]).buffer))
  restoreTimeout(ops, slot, SO_SNDTIMEO, [opts.soSndTmoSec, opts.soSndTmoUsec])
  restoreTimeout(ops, slot, SO_RCVTIMEO, [opts.soRcvTmoSec, opts.soRcvTmoUsec])
  if (opts.soBoundDev !== '') setBytes(ops, slot, SO_BINDTODEVICE, Buffer.from(`${opts.soBoundDev}\0`))
  if (opts.soFilter.length > 0) attachFilter(ops, slot, opts.soFilter)
}

function switches(opts: SkOptsEntry): readonly (readonly [number, boolean])[] {
  return [
    [SO_PASSCRED, opts.soPasscred],
    [SO_PASSSEC, opts.soPasssec],
    [SO_DONTROUTE, opts.soDontroute],
    [SO_NO_CHECK, opts.soNoCheck],
    [SO_BROADCAST, opts.soBroadcast],
    [SO_OOBINLINE, opts.soOobinline !== 0],
    [SO_KEEPALIVE, opts.soKeepalive],
  ]
}

/** A size that is forced counts as one that the user has set; which of them were is said afterwards. */
function restoreBuffers(
  set: (option: number, value: number) => void,
  { soSndbuf, soRcvbuf, soBufLock }: SkOptsEntry,
  fresh: Buffers | undefined,
): void {
  if (soSndbuf === fresh?.sndbuf && soRcvbuf === fresh.rcvbuf && soBufLock === 0) return
  set(SO_SNDBUFFORCE, soSndbuf >>> 1)
  set(SO_RCVBUFFORCE, soRcvbuf >>> 1)
  set(SO_BUF_LOCK, soBufLock)
}

function restoreTimeout(ops: TaskOps, slot: Slot, option: number, time: readonly [bigint, bigint]): void {
  // A struct timeval. Both zero is no time-out, which a new socket has.
  if (time[0] !== 0n || time[1] !== 0n)
    setBytes(ops, slot, option, new Uint8Array(new BigUint64Array(time).buffer))
}

/** CRIU has an instruction of a filter as one number: code, jt, jf and k, from the highest bits on. */
function attachFilter(ops: TaskOps, slot: Slot, filter: readonly bigint[]): void {
  const instructions = Buffer.alloc(8 * filter.length)
  for (const [place, packed] of filter.entries()) {
    const at = 8 * place
    instructions.writeUInt16LE(Number(packed >> 48n), at)
    instructions.writeUInt8(Number((packed >> 40n) & 0xffn), at + 2)
    instructions.writeUInt8(Number((packed >> 32n) & 0xffn), at + 3)
    instructions.writeUInt32LE(Number(packed & 0xffffffffn), at + 4)
  }
  // A struct sock_fprog: how many, and where they are.
  const program = ops.storeLong(filter.length, { bytes: instructions })
  ops.call('setsockopt', [{ slot }, SOL_SOCKET, SO_ATTACH_FILTER, program, 16])
}

function setBytes(ops: TaskOps, slot: Slot, option: number, bytes: Uint8Array): void {
  ops.call('setsockopt', [{ slot }, SOL_SOCKET, option, { bytes }, bytes.length])
}

/** What the options of a socket need that is not here, and what no socket can have. */
export function* checkSocketOptions(
  opts: SkOptsEntry,
  file: number,
  situation: Situation,
): Iterable<Problem> {
  const problem = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file,
  })
  const needs = needsNetAdmin(opts, freshBuffers(situation))
  if (needs !== undefined && !mayAdminister(situation))
    yield problem(
      'no-privilege',
      `socket ${file} has ${needs}, which only CAP_NET_ADMIN can set: run with it`,
    )
  if (opts.soBoundDev !== '' && !hasCapability(CAP_NET_RAW) && !mayAdminister(situation))
    yield problem(
      'no-privilege',
      `socket ${file} is bound to the device ${opts.soBoundDev}, which needs CAP_NET_RAW: run with it`,
    )
  if (opts.soSndTmoUsec >= MICROSECONDS || opts.soRcvTmoUsec >= MICROSECONDS)
    yield problem('bad-timeout', `socket ${file} has a time-out of a second or more in its microseconds`)
  if (opts.soFilter.length > LONGEST_FILTER)
    yield problem(
      'bad-filter',
      `socket ${file} has a filter of ${opts.soFilter.length} instructions, and Linux takes ${LONGEST_FILTER}`,
    )
}

/** Whether buffers can be as large as they have to be. */
export function mayAdminister({ once }: Situation): boolean {
  return once('CAP_NET_ADMIN', () => hasCapability(CAP_NET_ADMIN))
}

function needsNetAdmin(
  { soMark, soPriority, soSndbuf, soRcvbuf, soBufLock }: SkOptsEntry,
  fresh: Buffers | undefined,
): string | undefined {
  if (soMark !== 0) return `the mark ${soMark}`
  if (soPriority > LAST_FREE_PRIORITY) return `the priority ${soPriority}`
  if (soSndbuf !== fresh?.sndbuf || soRcvbuf !== fresh.rcvbuf || soBufLock !== 0)
    return `buffers of ${soSndbuf} and ${soRcvbuf} bytes`
  return undefined
}
