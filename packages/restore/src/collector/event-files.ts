import { FdType } from '../images/messages.ts'
import { pairsOf, valueOf, type Fdinfo } from './fdinfo.ts'
import type { FileInit } from './file-list.ts'
import type { OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'

const decimal = (info: Fdinfo, name: string): bigint => BigInt(valueOf(info, name) ?? '0')

export function eventfd({ id, info, number }: OpenFile): FileInit {
  const counter = BigInt(`0x${valueOf(info, 'eventfd-count') ?? '0'}`)
  const isSemaphore = valueOf(info, 'eventfd-semaphore') === '1'
  const efd = {
    id,
    flags: info.flags,
    fown: ownerOf(number),
    counter,
    ...(isSemaphore && { semaphore: true }),
  }
  return { type: FdType.EVENTFD, id, efd }
}

export function signalfd({ id, info, number }: OpenFile): FileInit {
  const sigmask = BigInt(`0x${valueOf(info, 'sigmask') ?? '0'}`)
  const sgfd = { id, flags: info.flags, fown: ownerOf(number), sigmask }
  return { type: FdType.SIGNALFD, id, sgfd }
}

/** `(3599, 460970810)`. */
function timeOf(info: Fdinfo, name: string): readonly [bigint, bigint] {
  const [, seconds = '0', nanoseconds = '0'] = /\((\d+), (\d+)\)/.exec(valueOf(info, name) ?? '') ?? []
  return [BigInt(seconds), BigInt(nanoseconds)]
}

export function timerfd({ id, info, number }: OpenFile): FileInit {
  const [vsec, vnsec] = timeOf(info, 'it_value')
  const [isec, insec] = timeOf(info, 'it_interval')
  const tfd = {
    id,
    flags: info.flags,
    fown: ownerOf(number),
    clockid: Number(decimal(info, 'clockid')),
    ticks: decimal(info, 'ticks'),
    settimeFlags: Number.parseInt(valueOf(info, 'settime flags') ?? '0', 8),
    vsec,
    vnsec,
    isec,
    insec,
  }
  return { type: FdType.TIMERFD, id, tfd }
}

/** `Pid:` of its fdinfo: -1 when the process has ended and been reaped, 0 when it is in another pid namespace. */
export const pidOf = (info: Fdinfo): number => Number(pairsOf(info.lines.join('\n')).get('Pid') ?? '0')

export function pidfd({ id, info, number, stats }: OpenFile): FileInit {
  const entry = { id, ino: stats.ino, flags: info.flags, nspid: pidOf(info), fown: ownerOf(number) }
  return { type: FdType.PIDFD, id, pidfd: entry }
}
