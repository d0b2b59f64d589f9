import type { Problem } from '../errors.ts'
import { FdType, type PidfdEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { Slot } from '../program/op.ts'
import { O_EXCL, O_NONBLOCK } from './flags.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

const entryOf = (file: File): PidfdEntry => file.entry.pidfd as PidfdEntry

/** The process has ended and been reaped. */
const ENDED = -1
/** What the call is told. O_EXCL: it is of a thread (PIDFD_THREAD), which the first one of a process is, too. */
const told: number = O_NONBLOCK | O_EXCL

/** Processes by descriptors (pidfd_open(2)): those of the images, whatever id they have now, and ended ones. */
export const pidfdKind: FileKind = {
  name: 'pidfd',
  types: [FdType.PIDFD],
  describe: (file) => {
    const { nspid, ino } = entryOf(file)
    return nspid === ENDED ? `pidfd of a process that has ended, inode ${ino}` : `pidfd of process ${nspid}`
  },
  check: (file, situation) => check(file, situation),
  open(context) {
    const { file, slot, ops } = context
    const { flags, fown, nspid } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const newFd = nspid === ENDED ? openEnded(context) : openLiving(context)
    if (newFd === undefined) return { status: 1 }
    setStatusFlags(ops, newFd, flags, flags & told)
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function* check(file: File, { images, model }: Situation): Iterable<Problem> {
  const { nspid } = entryOf(file)
  if (nspid === ENDED || model.taskOf(nspid) !== undefined) return
  const process = images.tasks.find(({ pstree }) => pstree.threads.includes(nspid))
  const about = { image: 'files.img', file: file.id, ...placeOf(file) }
  if (process === undefined) {
    const message = `pidfd ${file.id} is of process ${nspid}, which is not in the images`
    yield { reason: 'process-outside', message, ...about }
  } else {
    const message = `pidfd ${file.id} is of thread ${nspid} of process ${process.pstree.pid}: of a process only the first thread is made`
    yield { reason: 'unsupported', message, ...about }
  }
}

function openLiving({ file, ops, need, model, readyOf }: OpenContext): Slot | undefined {
  const { nspid, flags } = entryOf(file)
  const process = model.taskOf(nspid)
  if (process === undefined || !need(readyOf(process), 'restored')) return undefined
  return ops.open('pidfd_open', [{ pid: process }, flags & told])
}

/** The helper opens all files of one ended process at once, for there is no other way to have several of one. */
function openEnded(context: OpenContext): Slot | undefined {
  const { file, ops, need, shared } = context
  const { ino } = entryOf(file)
  const label = `process that has ended, inode ${ino}`
  const files = endedProcesses(context).get(ino) ?? []
  const node = shared(label, () => ({
    task: undefined,
    label,
    run: (step) => {
      const slots = step.ops.deadPidfds(files.map((each) => entryOf(each).flags & told))
      return { status: 0, newFd: slots[0] ?? 0 }
    },
  }))
  if (!need(node, 'restored')) return undefined
  const slot = (node.slot ?? 0) + files.indexOf(file)
  return ops.task === 0 ? slot : ops.fetch(0, slot)
}

/** By inode of the process: all files that are of it. */
function endedProcesses({ once, model }: Situation): ReadonlyMap<bigint, readonly File[]> {
  return once('ended processes', () => {
    const found = new Map<bigint, File[]>()
    for (const file of model.files.values()) {
      if (file.type !== FdType.PIDFD || entryOf(file).nspid !== ENDED) continue
      found.set(entryOf(file).ino, [...(found.get(entryOf(file).ino) ?? []), file])
    }
    return found
  })
}
