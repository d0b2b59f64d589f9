import type { MessageInitShape } from '@bufbuild/protobuf'
import type { SkOptsEntrySchema } from '../images/messages.ts'
import { binding } from './binding.ts'

type Fields = MessageInitShape<typeof SkOptsEntrySchema>
/** Without what a message has beside its fields. */
export type SocketOptions = Omit<Fields, `$${string}`>

export const SOL_SOCKET = 1
export const SO_TYPE = 3
export const SO_ERROR = 4
export const SO_REUSEADDR = 2
export const SO_PROTOCOL = 38
export const SO_DOMAIN = 39

const SO_BINDTODEVICE = 25
const SO_LINGER = 13
const SO_RCVTIMEO = 20
const SO_SNDTIMEO = 21
const SO_GET_FILTER = 26

const word = new Int32Array(1)
const wordBytes = new Uint8Array(word.buffer)

/** An option that is a number; undefined where the socket has none such. */
export function numberOption(socket: number, level: number, name: number): number | undefined {
  word[0] = 0
  return binding.option(socket, level, name, wordBytes) < 0 ? undefined : word[0]
}

/** The first bytes of an option; undefined where the socket has none such. */
export function bytesOption(socket: number, level: number, name: number, room: number): Buffer | undefined {
  const memory = Buffer.alloc(room)
  const length = binding.option(socket, level, name, memory)
  return length < 0 ? undefined : memory.subarray(0, Math.min(length, room))
}

const unsigned = (value: number): number => value >>> 0

/** Those that are there are given even when they are 0, as CRIU does. */
const numbers: readonly (readonly [keyof SocketOptions, number])[] = [
  ['soPriority', 12],
  ['soRcvlowat', 18],
  ['soOobinline', 10],
  ['soBufLock', 72],
]

const switches: readonly (readonly [keyof SocketOptions, number])[] = [
  ['reuseaddr', SO_REUSEADDR],
  ['soPasscred', 16],
  ['soPasssec', 34],
  ['soDontroute', 5],
  ['soNoCheck', 11],
  ['soReuseport', 15],
  ['soBroadcast', 6],
  ['soKeepalive', 9],
]

function timeoutOf(socket: number, name: number): readonly [bigint, bigint] {
  const time = bytesOption(socket, SOL_SOCKET, name, 16)
  return time?.length === 16 ? [time.readBigUInt64LE(0), time.readBigUInt64LE(8)] : [0n, 0n]
}

/** `unreadable`: the filter is a program of eBPF, which cannot be read. */
function filterOf(socket: number): bigint[] | 'unreadable' {
  // The length of this option is in instructions, of 8 bytes each; asked without room, it says how many.
  const length = binding.option(socket, SOL_SOCKET, SO_GET_FILTER, Buffer.alloc(0))
  if (length < 0) return 'unreadable'
  const memory = Buffer.alloc(length * 8)
  const count = length === 0 ? 0 : binding.option(socket, SOL_SOCKET, SO_GET_FILTER, memory)
  return Array.from({ length: Math.max(count, 0) }, (_, at) => memory.readBigUInt64LE(at * 8))
}

function optional(socket: number): Partial<SocketOptions> {
  const mark = numberOption(socket, SOL_SOCKET, 36)
  const linger = bytesOption(socket, SOL_SOCKET, SO_LINGER, 8)
  const device = bytesOption(socket, SOL_SOCKET, SO_BINDTODEVICE, 16)
  return {
    ...(mark !== undefined && mark !== 0 && { soMark: unsigned(mark) }),
    ...(linger?.readInt32LE(0) === 1 && { soLinger: linger.readUInt32LE(4) }),
    ...(device !== undefined &&
      device.length > 1 && { soBoundDev: device.toString('latin1', 0, device.indexOf(0)) }),
  }
}

/** The options of SOL_SOCKET; and whether one of them cannot be had. */
export function socketOptionsOf(socket: number): { options: SocketOptions; hasUnreadableFilter: boolean } {
  const [soSndTmoSec, soSndTmoUsec] = timeoutOf(socket, SO_SNDTIMEO)
  const [soRcvTmoSec, soRcvTmoUsec] = timeoutOf(socket, SO_RCVTIMEO)
  const filter = filterOf(socket)
  const some: Record<string, number | boolean> = {}
  for (const [name, option] of numbers) {
    const value = numberOption(socket, SOL_SOCKET, option)
    if (value !== undefined) some[name] = unsigned(value)
  }
  for (const [name, option] of switches) {
    const value = numberOption(socket, SOL_SOCKET, option)
    if (value !== undefined) some[name] = value !== 0
  }
  const options = {
    soSndbuf: numberOption(socket, SOL_SOCKET, 7) ?? 0,
    soRcvbuf: numberOption(socket, SOL_SOCKET, 8) ?? 0,
    soSndTmoSec,
    soSndTmoUsec,
    soRcvTmoSec,
    soRcvTmoUsec,
    ...some,
    ...optional(socket),
    ...(filter !== 'unreadable' && { soFilter: filter }),
  }
  return { options, hasUnreadableFilter: filter === 'unreadable' }
}
