import type { Problem } from '../errors.ts'
import { FdType, has, type EventpollFileEntry, type EventpollTfdEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { Slot } from '../program/op.ts'
import { epollCircles } from './epoll-circles.ts'
import { O_CLOEXEC } from './flags.ts'
import { inodeOf } from './inode.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

const EPOLL_CTL_ADD = 1
const EPOLLIN = 1
const EPOLLOUT = 4
const EPOLLERR = 8
const EPOLLHUP = 0x10
const EPOLLONESHOT = 1 << 30
const F_DUPFD_CLOEXEC = 1030
/** What stays when a one-shot watch has fired. */
const KEPT = 0xf0000000
const SCRATCH = 0
const S_IFMT = 0o170000
const S_IFDIR = 0o040000
const S_IFREG = 0o100000

const entryOf = (file: File): EventpollFileEntry => file.entry.epfd as EventpollFileEntry

/** A watch, and the file that it is of; undefined when no table of the maker has it. */
interface Watch {
  readonly entry: EventpollTfdEntry
  readonly target: File | undefined
  /** The number that it was added under. */
  readonly number: number
  /** Whether the number is another file's now, or nobody's: the watch was made before that. */
  readonly isStale: boolean
}

/** Event polls (epoll(7)). A watch is of a file under a number; so it is added in a table that has both. */
export const epollKind: FileKind = {
  name: 'epoll',
  types: [FdType.EVENTPOLL],
  describe: (file) => `epoll with ${entryOf(file).tfd.length} watches`,
  numbers: (file) => entryOf(file).tfd.map((watch) => (has(watch, 'addedAs') ? watch.addedAs : watch.tfd)),
  mayOpen: (file, table, situation) =>
    watchesIn(file, table, situation).every(({ target }) => target !== undefined),
  *check(file, situation) {
    yield* epollCircles(file, situation, watchedBy)
    yield* checkWatches(file, situation)
  },
  open(context) {
    const { file, slot, task, ops, cloexec } = context
    const { fown, flags } = entryOf(file)
    if (slot === undefined) {
      const newFd = ops.open('epoll_create1', [cloexec ? O_CLOEXEC : 0])
      setStatusFlags(ops, newFd, flags, 0)
      return { status: 1, newFd }
    }
    const watches = task === undefined ? [] : watchesIn(file, task.table, context)
    const missing = watches.filter((watch) => !isThere(watch, context))
    if (missing.length > 0) return { status: 1 }
    // One that has fired is made to fire again, while nobody else can.
    const fired = watches.filter(({ entry }) => isDisabled(entry))
    for (const watch of fired) addFired(context, slot, watch)
    for (const watch of watches) if (!fired.includes(watch)) add(context, slot, watch, watch.entry.events)
    return hasOwner(fown) ? restoreOwner(context, fown) : { status: 0 }
  },
}

/** The epolls that an epoll watches. */
function watchedBy(file: File, situation: Situation): File[] {
  const table =
    file.fles.find((fle) => epollKind.mayOpen?.(file, fle.table, situation))?.table ?? file.fles[0]?.table
  if (table === undefined) return []
  const targets = watchesIn(file, table, situation).map(({ target }) => target)
  return targets.filter((target) => target?.type === FdType.EVENTPOLL) as File[]
}

function* checkWatches(file: File, situation: Situation): Iterable<Problem> {
  const tables = [...new Set(file.fles.map(({ table }) => table))]
  if (tables.length === 0 || tables.some((table) => epollKind.mayOpen?.(file, table, situation))) return
  const [table] = tables
  if (table === undefined) return
  for (const { entry, target } of watchesIn(file, table, situation)) {
    if (target !== undefined) continue
    const message = `the epoll watches a file under the number ${entry.tfd} that no process with the epoll has`
    yield { reason: 'watch-without-file', message, image: 'files.img', file: file.id, ...placeOf(file) }
  }
}

function watchesIn(file: File, table: DescriptorTable, situation: Situation): Watch[] {
  return entryOf(file).tfd.map((entry) => {
    const { byNumber, byInode } = indexOf(table, situation)
    const under = byNumber.get(entry.tfd)
    if (under !== undefined && isOf(under, entry, situation)) {
      // Where the number is another's now, CRIU tells one at which the file is found, and our own images both.
      const number = has(entry, 'addedAs') ? entry.addedAs : entry.tfd
      return { entry, target: under, number, isStale: number !== entry.tfd }
    }
    const other = entry.inode === 0n ? undefined : byInode.get(entry.inode)
    return { entry, target: other, number: entry.tfd, isStale: true }
  })
}

/** Whether a file can be the one that is watched, as far as the images know inodes. */
function isOf(file: File, { inode }: EventpollTfdEntry, { once, model }: Situation): boolean {
  if (inode === 0n) return true
  const own = inodeOf(file)
  if (own !== undefined) return own === inode
  // The one that is watched may be known, in another table.
  const known = once('inodes', () => new Set([...model.files.values()].map(inodeOf)))
  return !known.has(inode) && isWatchable(file)
}

/** The content of files cannot be waited for (EPERM). */
function isWatchable({ type, entry }: File): boolean {
  const kind = (entry.reg?.mode ?? 0) & S_IFMT
  return type !== FdType.MEMFD && kind !== S_IFREG && kind !== S_IFDIR
}

interface TableIndex {
  readonly byNumber: ReadonlyMap<number, File>
  readonly byInode: ReadonlyMap<bigint, File>
}

function indexOf(table: DescriptorTable, { once }: Situation): TableIndex {
  return once(`table ${table.id}`, () => {
    const byInode = new Map<bigint, File>()
    for (const { file } of table.fles) {
      const inode = inodeOf(file)
      if (inode !== undefined && !byInode.has(inode)) byInode.set(inode, file)
    }
    return { byNumber: new Map(table.fles.map(({ fd, file }) => [fd, file])), byInode }
  })
}

/** An epoll can be watched as soon as it exists; anything else when it is as it was, lest it wake somebody. */
function isThere({ target, number, isStale }: Watch, context: OpenContext): boolean {
  const { need, nodeOf, task } = context
  if (target === undefined) return true
  const there = need(nodeOf(target), target.type === FdType.EVENTPOLL ? 'open' : 'restored')
  if (!isStale || task === undefined) return there
  const occupant = indexOf(task.table, context).byNumber.get(number)
  return (occupant === undefined || need(nodeOf(occupant), 'open')) && there
}

function isDisabled({ events }: EventpollTfdEntry): boolean {
  return (events & EPOLLONESHOT) !== 0 && (events & ~KEPT) === 0
}

/** Adds a watch under the number that it had. */
function add(context: OpenContext, epoll: Slot, watch: Watch, events: number): void {
  const { ops, task } = context
  const { entry, number, isStale } = watch
  const bytes = eventBytes(events >>> 0, entry.data)
  const call = (): void => {
    ops.call('epoll_ctl', [{ slot: epoll }, EPOLL_CTL_ADD, number, { bytes }])
  }
  if (isStale && task !== undefined) underStaleNumber(context, task, watch, call)
  else call()
}

/** Gives a number to the watched file for a moment. */
function underStaleNumber(
  context: OpenContext,
  task: Task,
  { number, target }: Watch,
  call: () => void,
): void {
  if (target === undefined) return
  const { ops, slotOf } = context
  const occupant = task.table.fles.find(({ fd }) => fd === number)
  const saved = occupant === undefined ? undefined : ops.open('fcntl', [number, F_DUPFD_CLOEXEC, 0])
  ops.call('dup3', [{ slot: slotOf(target, ops) }, number, O_CLOEXEC])
  call()
  if (saved === undefined) ops.call('close', [number])
  else {
    ops.call('dup3', [{ slot: saved }, number, (occupant?.cloexec ?? false) ? O_CLOEXEC : 0])
    ops.drop(saved)
  }
}

/**
 * A one-shot watch that has fired keeps nothing but that it was one. It is added for anything that a file may be ready
 * for, and taken; where the file is ready for nothing, errors will be told, as they are of every new watch.
 */
function addFired(context: OpenContext, epoll: Slot, watch: Watch): void {
  add(context, epoll, watch, watch.entry.events | EPOLLIN | EPOLLOUT)
  context.ops.call('epoll_pwait', [{ slot: epoll }, { scratch: SCRATCH }, 1, 0, 0, 0])
}

/** A struct epoll_event, which is packed on x64. */
function eventBytes(events: number, data: bigint): Uint8Array {
  const isPacked = process.arch !== 'arm64'
  const bytes = Buffer.alloc(isPacked ? 12 : 16)
  // The kernel adds these two itself.
  bytes.writeUInt32LE((events & ~(EPOLLERR | EPOLLHUP)) >>> 0, 0)
  bytes.writeBigUInt64LE(data, isPacked ? 4 : 8)
  return bytes
}
