import type { Problem } from '../errors.ts'
import { FdType, type TimerfdEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { hasCapability } from '../plan/machine.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import { holderOf } from './holder.ts'
import type { FileKind } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

const entryOf = (file: File): TimerfdEntry => file.entry.tfd as TimerfdEntry

/** By clockid of clock_gettime(2). */
const clocks = new Map([
  [0, 'CLOCK_REALTIME'],
  [1, 'CLOCK_MONOTONIC'],
  [7, 'CLOCK_BOOTTIME'],
  [8, 'CLOCK_REALTIME_ALARM'],
  [9, 'CLOCK_BOOTTIME_ALARM'],
])
const firstAlarm = 8
const CAP_WAKE_ALARM = 35n
const TFD_TIMER_ABSTIME = 1
const TFD_IOC_SET_TICKS = 0x40085400n
const POLLIN = 1

/**
 * Timers (timerfd_create(2)). The image has the time that was left, also of those that were set to a time of a clock:
 * all go on with that. They are set after the commit, so that none runs before.
 */
export const timerfdKind: FileKind = {
  name: 'timerfd',
  types: [FdType.TIMERFD],
  isShareable: () => true,
  describe: (file) => `timerfd of ${clocks.get(entryOf(file).clockid) ?? 'an unknown clock'}`,
  check: (file) => check(file),
  open(context) {
    const { ops, file, cloexec, slot } = context
    const entry = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, entry.fown)
    const told = entry.flags & O_NONBLOCK
    const newFd = ops.open('timerfd_create', [entry.clockid, told | (cloexec ? O_CLOEXEC : 0)])
    setStatusFlags(ops, newFd, entry.flags, told)
    const holder = holderOf(file)
    // What is only in flight is in nobody's hands later.
    if (holder === undefined) arm(ops, newFd, entry)
    else {
      context.afterCommit(holder, (late) => {
        arm(late, context.slotOf(file, late), entry)
      })
    }
    return { status: hasOwner(entry.fown) ? 1 : 0, newFd }
  },
}

function* check(file: File): Iterable<Problem> {
  const { clockid, vnsec, insec } = entryOf(file)
  const wrong = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
    ...placeOf(file),
  })
  if (!clocks.has(clockid))
    yield wrong('unknown-clock', `timerfd ${file.id} is of clock ${clockid}, which no timerfd can be of`)
  else if (clockid >= firstAlarm && !hasCapability(CAP_WAKE_ALARM)) {
    const message = `timerfd ${file.id} wakes the machine, which needs CAP_WAKE_ALARM: run with it`
    yield wrong('no-privilege', message)
  }
  if (vnsec >= 1_000_000_000n || insec >= 1_000_000_000n) {
    const message = `timerfd ${file.id} has a time with more than 999999999 nanoseconds: the images are damaged`
    yield wrong('bad-time', message)
  }
}

/**
 * A periodic timer that has expired does not run until somebody looks. It has no time left, then, and is made to expire
 * at once, so that it will run again; from what moment it counted, the image does not say.
 */
function arm(ops: TaskOps, slot: Slot, entry: TimerfdEntry): void {
  const { clockid, ticks, settimeFlags: flags, vsec, vnsec, isec, insec } = entry
  const isRunning = vsec > 0n || vnsec > 0n
  const isPeriodic = isec > 0n || insec > 0n
  const hasExpired = !isRunning && isPeriodic && ticks > 0n
  if (isRunning || isPeriodic || flags !== 0) {
    const bytes = itimerspec([isec, insec], hasExpired ? [0n, 1n] : [vsec, vnsec])
    const isAbsolute = (isRunning || hasExpired) && (flags & TFD_TIMER_ABSTIME) !== 0
    const times = isAbsolute ? ops.fromNow(clockOf(clockid), bytes) : { bytes }
    ops.call('timerfd_settime', [{ slot }, flags, times, 0])
  }
  if (hasExpired) ops.call('poll', [ops.store({ slot }, POLLIN), 1, 0, 0, 0], { expect: 1 })
  if (ticks > 0n) {
    const count = Buffer.alloc(8)
    count.writeBigUInt64LE(ticks)
    ops.call('ioctl', [{ slot }, TFD_IOC_SET_TICKS, { bytes: count }])
  }
}

/** The clock that an alarm goes by. */
function clockOf(clockid: number): number {
  if (clockid < firstAlarm) return clockid
  return clockid === firstAlarm ? 0 : 7
}

type Time = readonly [seconds: bigint, nanoseconds: bigint]

function itimerspec(interval: Time, first: Time): Uint8Array {
  return new Uint8Array(new BigUint64Array([...interval, ...first]).buffer)
}
