import { readFileSync, statSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import type { FileLockEntry } from '../images/index.ts'
import type { Situation } from '../kinds/kind.ts'
import {
  BREAKING,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  LOCK,
  lockNames,
  takeLock,
  type Lock,
  type LockFlag,
} from './lock.ts'
import type { Planner } from './planner.ts'

const O_ACCMODE = 0o3
const O_WRONLY = 0o1
const MAX_OFFSET = 2n ** 63n - 1n

/** Locks of the images (fcntl(2), flock(2)), and what is wrong with them, those of living processes that are in the way included. */
export function* checkLocks(situation: Situation): Iterable<Problem> {
  const held = situation.images.locks.length === 0 ? [] : heldLocks()
  for (const entry of situation.images.locks) {
    const lock = lockOf(entry, situation)
    if (typeof lock === 'string') yield problem(entry, 'bad-lock', lock)
    else yield* checkLock(lock, held, situation)
  }
}

/**
 * Has all locks taken when no process closes anything any more: with any descriptor of a file its process would lose
 * its POSIX locks, and a lease cannot be taken while others have the file open. This comes before the files: a lease
 * that is being broken has its owner set later.
 */
export function addLocks(planner: Planner): void {
  const { situation } = planner
  for (const entry of situation.images.locks) {
    const lock = lockOf(entry, situation)
    if (typeof lock === 'string') continue
    planner.addStep({
      task: undefined,
      label: labelOf(lock, situation),
      run: (context) => {
        context.beforeCommit(lock.task, (ops) => {
          takeLock(ops, lock)
        })
        return { status: 0 }
      },
    })
  }
}

function problem(entry: FileLockEntry, reason: string, message: string): Problem {
  return { reason, message, image: 'filelocks.img', pid: entry.pid, fd: entry.fd }
}

/** The lock with its process and descriptor, or why it can be none. */
function lockOf(entry: FileLockEntry, { model }: Situation): Lock | string {
  const { flag, pid, fd } = entry
  if (!(flag in lockNames)) return `process ${pid} has a lock of the unknown kind ${flag}`
  const name = lockNames[flag as LockFlag]
  if (!isPossible(entry)) return `process ${pid} has a ${name} of the unknown type ${entry.type}`
  const task = model.taskOf(pid)
  if (task === undefined) return `a ${name} belongs to process ${pid}, which is not in the images`
  const fle = task.table.fles.find((each) => each.fd === fd)
  if (fle === undefined) return `process ${pid} has a ${name} by descriptor ${fd}, which it does not have`
  return { entry, task, fle }
}

function isPossible({ flag, type }: FileLockEntry): boolean {
  if (flag !== LOCK.lease) return type === F_RDLCK || type === F_WRLCK
  const target = type & ~BREAKING
  return target === F_RDLCK || target === ((type & BREAKING) === 0 ? F_WRLCK : F_UNLCK)
}

function labelOf({ entry, task, fle }: Lock, { path }: Situation): string {
  const name = fle.file.entry.reg?.name
  return `${lockNames[entry.flag as LockFlag]} of process ${task.pid} on ${name === undefined ? `descriptor ${fle.fd}` : path(name)}`
}

function* checkLock(lock: Lock, held: readonly HeldLock[], situation: Situation): Iterable<Problem> {
  const { entry, fle } = lock
  const access = (fle.file.entry.reg?.flags ?? 0o2) & O_ACCMODE
  const isByteRange = entry.flag === LOCK.posix || entry.flag === LOCK.ofd
  if (isByteRange && access === (entry.type === F_WRLCK ? 0 : O_WRONLY)) {
    const message = `${labelOf(lock, situation)} is for ${entry.type === F_WRLCK ? 'writing' : 'reading'}, and the descriptor is not: the images are damaged`
    yield problem(entry, 'bad-lock', message)
  }
  const inode = inodeOf(lock, situation)
  for (const other of held) {
    if (other.inode !== inode || !conflicts(entry, other)) continue
    const message = `${labelOf(lock, situation)} cannot be taken: process ${other.pid} has a ${other.kind} lock there; end it first`
    yield problem(entry, 'lock-taken', message)
  }
}

/** As /proc/locks has it. A deleted file is made again, and nobody has locks on it. */
function inodeOf({ fle }: Lock, { images, path }: Situation): string | undefined {
  const { reg } = fle.file.entry
  if (reg === undefined || images.remaps.some(({ origId }) => origId === reg.id)) return undefined
  const found = statSync(path(reg.name), { throwIfNoEntry: false, bigint: true })
  if (found === undefined) return undefined
  const major = (found.dev >> 8n) & 0xfffn
  const minor = (found.dev & 0xffn) | ((found.dev >> 12n) & 0xfff00n)
  const hex = (number: bigint): string => number.toString(16).padStart(2, '0')
  return `${hex(major)}:${hex(minor)}:${found.ino}`
}

/** A line of /proc/locks. */
interface HeldLock {
  readonly kind: string
  readonly isWrite: boolean
  readonly pid: number
  readonly inode: string
  readonly start: bigint
  /** The last byte. */
  readonly end: bigint
}

function heldLocks(): HeldLock[] {
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [, kind, , mode, pid, inode, start, end] = line.trim().split(/\s+/)
      // A line with an arrow is of one who waits.
      if (kind === undefined || kind === '->' || inode === undefined || end === undefined) return []
      return [
        {
          kind,
          isWrite: mode === 'WRITE',
          pid: Number(pid),
          inode,
          start: BigInt(start ?? 0),
          end: end === 'EOF' ? MAX_OFFSET : BigInt(end),
        },
      ]
    })
}

/** What the kernel calls them; POSIX and OFD locks are in each other's way. */
const rivals: Readonly<Record<LockFlag, readonly string[]>> = {
  [LOCK.posix]: ['POSIX', 'OFDLCK'],
  [LOCK.ofd]: ['POSIX', 'OFDLCK'],
  [LOCK.flock]: ['FLOCK'],
  [LOCK.lease]: ['LEASE'],
}

function conflicts(entry: FileLockEntry, other: HeldLock): boolean {
  const flag = entry.flag as LockFlag
  if (!rivals[flag].includes(other.kind) || (entry.type === F_RDLCK && !other.isWrite)) return false
  if (flag === LOCK.flock || flag === LOCK.lease) return true
  const last = entry.len === 0n ? MAX_OFFSET : entry.start + entry.len - 1n
  return entry.start <= other.end && other.start <= last
}
