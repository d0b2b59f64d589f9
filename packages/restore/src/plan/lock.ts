import type { FileLockEntry } from '../images/index.ts'
import type { Fle } from '../model/file.ts'
import type { Task } from '../model/task.ts'
import type { TaskOps } from './task-ops.ts'

/** A lock of the images, and the descriptor that it is taken by. */
export interface Lock {
  readonly entry: FileLockEntry
  readonly task: Task
  readonly fle: Fle
}

/** FileLockEntry.flag. */
export const LOCK = { posix: 1, flock: 2, ofd: 4, lease: 8 } as const
export type LockFlag = (typeof LOCK)[keyof typeof LOCK]

export const lockNames: Readonly<Record<LockFlag, string>> = {
  [LOCK.posix]: 'POSIX lock',
  [LOCK.flock]: 'flock',
  [LOCK.ofd]: 'OFD lock',
  [LOCK.lease]: 'lease',
}

export const F_RDLCK = 0
export const F_WRLCK = 1
export const F_UNLCK = 2
/** In the type of a lease: somebody waits for its end, and the type is what it has to become. */
export const BREAKING = 4

const F_SETLK = 6
const F_SETOWN = 8
const F_OFD_SETLK = 37
const F_SETLEASE = 1024
const LOCK_SH = 1
const LOCK_EX = 2
const LOCK_NB = 4
const O_ACCMODE = 0o3
const O_WRONLY = 0o1
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000
const AT_FDCWD = -100
const EAGAIN = 11

/** Takes a lock, by operations of its process: so it is listed under that. None of them waits. */
export function takeLock(ops: TaskOps, { entry, fle }: Lock): void {
  const { fd } = fle
  switch (entry.flag as LockFlag) {
    case LOCK.posix:
      ops.call('fcntl', [fd, F_SETLK, { bytes: structFlock(entry) }])
      break
    case LOCK.ofd:
      ops.call('fcntl', [fd, F_OFD_SETLK, { bytes: structFlock(entry) }])
      break
    case LOCK.flock:
      ops.call('flock', [fd, (entry.type === F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB])
      break
    case LOCK.lease:
      if ((entry.type & BREAKING) === 0) ops.call('fcntl', [fd, F_SETLEASE, entry.type])
      else takeBreakingLease(ops, fle, entry.type & ~BREAKING)
  }
}

/**
 * The lease is taken as it was before, and then somebody opens the file in a way that it does not allow. Its owner has
 * been told already, so it must not be told again: it is set after this.
 */
function takeBreakingLease(ops: TaskOps, { fd, file }: Fle, target: number): void {
  const isReadOnly = ((file.entry.reg?.flags ?? 0) & O_ACCMODE) === 0
  const before = target === F_UNLCK && isReadOnly ? F_RDLCK : F_WRLCK
  const how = target === F_UNLCK ? O_WRONLY : 0
  ops.call('fcntl', [fd, F_SETLEASE, before])
  ops.call('fcntl', [fd, F_SETOWN, 0])
  const path = { text: `/proc/self/fd/${fd}` }
  ops.call('openat', [AT_FDCWD, path, how | O_NONBLOCK | O_CLOEXEC, 0], { tolerate: EAGAIN, expect: 0 })
}

/** struct flock, the same on x64 and arm64. A length of 0 reaches to the end, however long the file gets. */
function structFlock({ type, start, len }: FileLockEntry): Uint8Array {
  const bytes = Buffer.alloc(32)
  bytes.writeInt16LE(type, 0)
  bytes.writeBigInt64LE(start, 8)
  bytes.writeBigInt64LE(len, 16)
  return bytes
}
