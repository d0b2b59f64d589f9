import type { Problem } from '../errors.ts'
import { FdType, type InotifyFileEntry, type InotifyWdEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { SCRATCH_SIZE } from '../program/op.ts'
import { changeable, F_SETFL, O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import { holderOf } from './holder.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'
import { checkInode, withInode, type WatchedInode } from './watched-inode.ts'

const entryOf = (file: File): InotifyFileEntry => file.entry.ify as InotifyFileEntry

const INOTIFY_IOC_SETNEXTWD = 0x40044900
const IN_DONT_FOLLOW = 0x02000000
const EAGAIN = 11
const INT_MAX = 2 ** 31 - 1

/**
 * Watches of files (inotify(7)), with the numbers that they had. They are added when all processes have made and closed
 * what they had to, so that they see nothing of that; what follows the commit is read out of the queue again. Events
 * that waited in the queue are not in the image.
 */
export const inotifyKind: FileKind = {
  name: 'inotify',
  types: [FdType.INOTIFY],
  isShareable: () => true,
  describe: (file) => `inotify with ${countOf(entryOf(file).wd.length, 'watch')}`,
  check: (file, situation) => check(file, situation),
  open(context) {
    const { ops, file, cloexec, slot } = context
    const { flags, fown } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const told = flags & O_NONBLOCK
    const newFd = ops.open('inotify_init1', [told | (cloexec ? O_CLOEXEC : 0)])
    setStatusFlags(ops, newFd, flags, told)
    if (holderOf(file) === undefined) addWatches(ops, newFd, file, context)
    else addLater(context)
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function countOf(count: number, what: string): string {
  return count === 1 ? `1 ${what}` : `${count} ${what}es`
}

const inodeOf = ({ iIno, sDev, fHandle }: InotifyWdEntry): WatchedInode => ({
  inode: iIno,
  device: sDev,
  handle: fHandle,
})

function* check(file: File, situation: Situation): Iterable<Problem> {
  const seen = new Set<number>()
  const about = { image: 'files.img', file: file.id, ...placeOf(file) }
  for (const watch of entryOf(file).wd) {
    const { wd } = watch
    const what = `watch ${wd} of inotify ${file.id}`
    if (wd < 1 || wd > INT_MAX)
      yield {
        reason: 'bad-watch',
        message: `${what} has no possible number: the images are damaged`,
        ...about,
      }
    else if (seen.has(wd))
      yield { reason: 'bad-watch', message: `${what} is there twice: the images are damaged`, ...about }
    seen.add(wd)
    for (const problem of checkInode(inodeOf(watch), what, situation)) yield { ...problem, ...about }
  }
}

/** By the helper, for which every path begins where it does for this process. */
function addLater(context: OpenContext): void {
  const { file, slotOf } = context
  const holder = holderOf(file)
  const entry = entryOf(file)
  if (holder === undefined || entry.wd.length === 0) return
  context.beforeCommit(undefined, (ops) => {
    addWatches(ops, slotOf(file, ops), file, context)
  })
  context.atLast(holder, (ops) => {
    drain(ops, slotOf(file, ops), entry.flags & changeable)
  })
}

/** In the order in which they were made, for that is the order in which they are listed. */
function addWatches(ops: TaskOps, slot: Slot, file: File, situation: Situation): void {
  let next = 1
  for (const watch of entryOf(file).wd.toSorted((one, other) => one.wd - other.wd)) {
    const { wd, mask } = watch
    withInode(ops, situation, inodeOf(watch), (path, isLink) => {
      if (wd !== next) ops.call('ioctl', [{ slot }, INOTIFY_IOC_SETNEXTWD, wd])
      // The image has no flag that was for the call; without any bit it would be refused.
      const whole = isLink || mask === 0 ? mask | IN_DONT_FOLLOW : mask
      ops.call('inotify_add_watch', [{ slot }, path, whole >>> 0], { expect: wd })
    })
    next = wd + 1
  }
}

/** Reads out what taking away our own names has put in. */
function drain(ops: TaskOps, slot: Slot, flags: number): void {
  const mayWait = (flags & O_NONBLOCK) === 0
  if (mayWait) ops.call('fcntl', [{ slot }, F_SETFL, flags | O_NONBLOCK])
  ops.call('read', [{ slot }, { scratch: 0 }, SCRATCH_SIZE], { tolerate: EAGAIN })
  if (mayWait) ops.call('fcntl', [{ slot }, F_SETFL, flags])
}
