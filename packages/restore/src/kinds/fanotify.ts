import { lstatSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Problem } from '../errors.ts'
import { FdType, has, MarkType, type FanotifyFileEntry, type FanotifyMarkEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { hasCapability } from '../plan/machine.ts'
import type { TaskOps, Value } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { AT_FDCWD, O_NONBLOCK } from './flags.ts'
import { holderOf } from './holder.ts'
import type { FileKind, Situation } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'
import { checkInode, mounts, withInode, type WatchedInode } from './watched-inode.ts'

const entryOf = (file: File): FanotifyFileEntry => file.entry.ffy as FanotifyFileEntry

const FAN_NONBLOCK = 0x2
const FAN_MARK_ADD = 0x1
const FAN_MARK_DONT_FOLLOW = 0x4
const FAN_MARK_MOUNT = 0x10
const FAN_MARK_IGNORED_MASK = 0x20
const FAN_MARK_IGNORED_SURV_MODIFY = 0x40
const FAN_MARK_EVICTABLE = 0x200
const FAN_MARK_IGNORE = 0x400
const CAP_SYS_ADMIN = 21n

/**
 * Groups of marks on inodes and mounts (fanotify(7)). The marks are added when all processes have made and closed what
 * they had to: so nothing of that is reported, and nobody who must open something waits for a permission.
 */
export const fanotifyKind: FileKind = {
  name: 'fanotify',
  types: [FdType.FANOTIFY],
  describe: (file) => {
    const { length } = entryOf(file).mark
    return `fanotify with ${length} mark${length === 1 ? '' : 's'}`
  },
  check: (file, situation) => check(file, situation),
  open(context) {
    const { ops, file, slot, slotOf } = context
    const { flags, faflags, evflags, fown } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    // With FAN_CLOEXEC as it was: the group remembers that, whatever its descriptors are.
    const newFd = ops.open('fanotify_init', [faflags, evflags])
    setStatusFlags(ops, newFd, flags, (faflags & FAN_NONBLOCK) === 0 ? 0 : O_NONBLOCK)
    if (holderOf(file) === undefined) addMarks(ops, newFd, file, context)
    else
      context.beforeCommit(undefined, (late) => {
        addMarks(late, slotOf(file, late), file, context)
      })
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function* check(file: File, situation: Situation): Iterable<Problem> {
  const about = { image: 'files.img', file: file.id, ...placeOf(file) }
  if (!hasCapability(CAP_SYS_ADMIN))
    yield {
      reason: 'no-privilege',
      message: `fanotify ${file.id} needs CAP_SYS_ADMIN: run with it`,
      ...about,
    }
  for (const mark of entryOf(file).mark) {
    const what = `a mark of fanotify ${file.id}`
    const inode = inodeOf(mark)
    if (inode !== undefined)
      for (const problem of checkInode(inode, what, situation)) yield { ...problem, ...about }
    else if (mark.me === undefined)
      yield { reason: 'bad-mark', message: `${what} says not of what: the images are damaged`, ...about }
    else if (mountPath(mark, situation) === undefined)
      yield {
        reason: 'file-missing',
        message: `${what} is on mount ${mark.me.mntId}, ${has(mark.me, 'path') ? mark.me.path : 'of which no path is known'}: it is not there; mount it first, or map its path`,
        ...about,
      }
  }
}

function inodeOf({ type, ie, sDev }: FanotifyMarkEntry): WatchedInode | undefined {
  if (type !== MarkType.INODE || ie === undefined) return undefined
  return { inode: ie.iIno, device: sDev, handle: ie.fHandle }
}

/** Where a mount is now. Its number tells only where nothing was mounted since. */
function mountPath({ me, sDev }: FanotifyMarkEntry, situation: Situation): string | undefined {
  if (me === undefined) return undefined
  if (!has(me, 'path') || me.path === '')
    return mounts(situation).find(({ id, device }) => id === me.mntId && device === sDev)?.point
  const name = situation.path(resolve('/', me.path))
  return lstatSync(name, { throwIfNoEntry: false }) === undefined ? undefined : name
}

/** The image has the newest first; they are made in the order in which they were. */
function addMarks(ops: TaskOps, slot: Slot, file: File, situation: Situation): void {
  for (const mark of entryOf(file).mark.toReversed()) {
    const inode = inodeOf(mark)
    if (inode === undefined)
      addMark(ops, slot, mark, { path: { text: mountPath(mark, situation) ?? '' }, flags: FAN_MARK_MOUNT })
    else
      withInode(ops, situation, inode, (path, isLink) => {
        addMark(ops, slot, mark, { path, flags: isLink ? FAN_MARK_DONT_FOLLOW : 0 })
      })
  }
}

function addMark(
  ops: TaskOps,
  slot: Slot,
  { mask, ignoredMask, mflags }: FanotifyMarkEntry,
  { path, flags }: { path: Value; flags: number },
): void {
  const add = (bits: number, which: number): void => {
    ops.call('fanotify_mark', [{ slot }, FAN_MARK_ADD | flags | which, bits, AT_FDCWD, path])
  }
  const lasting = mflags & FAN_MARK_EVICTABLE
  if (mask !== 0) add(mask, lasting)
  if (ignoredMask !== 0) {
    const how = (mflags & FAN_MARK_IGNORE) === 0 ? FAN_MARK_IGNORED_MASK : FAN_MARK_IGNORE
    add(ignoredMask, lasting | how | (mflags & FAN_MARK_IGNORED_SURV_MODIFY))
  }
}
