import type { FownEntry } from '../images/index.ts'
import type { Task } from '../model/task.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { OpenContext, OpenResult } from './kind.ts'
import { F_SETOWN_EX, F_SETSIG } from './flags.ts'
import { holderOf } from './holder.ts'
import { placeOf } from './named.ts'

const UNCHANGED = -1

/** Whether there is anything for {@link restoreOwner} to do. */
export function hasOwner(fown: FownEntry | undefined): boolean {
  return fown !== undefined && (fown.pid !== 0 || fown.signum !== 0)
}

/**
 * The last step of open(): who gets a signal when the file is ready (fcntl(2), F_SETOWN_EX, F_SETSIG). That is said when
 * all processes are there and nobody does anything with the file any more, so that none is told of it. The kernel notes
 * the user of the moment with it; so the call is made as that user.
 *
 * What is only in flight has to be told when it is opened: nobody has it later.
 */
export function restoreOwner(context: OpenContext, fown: FownEntry | undefined): OpenResult {
  if (fown === undefined || !hasOwner(fown)) return { status: 0 }
  const { model, need, readyOf, file } = context
  const target = model.taskOf(fown.pid)
  const holder = holderOf(file)
  if (holder === undefined && target !== undefined && !need(readyOf(target), 'restored')) return { status: 1 }
  if (fown.pid !== 0 && target === undefined) {
    const message = `the owner of file ${file.id}, process ${fown.pid}, is not in the images: the file gets none`
    context.warn({ reason: 'owner-outside', message, file: file.id, ...placeOf(file) })
  }
  if (holder === undefined) setOwner(context, fown, context.ops, target)
  else
    context.beforeCommit(holder, (ops) => {
      setOwner(context, fown, ops, target)
    })
  return { status: 0 }
}

function setOwner(
  { slotOf, file }: OpenContext,
  { signum, uid, euid, pidType }: FownEntry,
  ops: TaskOps,
  target: Task | undefined,
): void {
  const slot = { slot: slotOf(file, ops) }
  if (signum !== 0) ops.call('fcntl', [slot, F_SETSIG, signum])
  if (target === undefined) return
  const asUser = uid !== 0 || euid !== 0
  if (asUser) ops.call('setresuid', [uid, euid, UNCHANGED])
  ops.call('fcntl', [slot, F_SETOWN_EX, ops.store(pidType, { pid: target })])
  if (asUser) ops.call('setresuid', [0, 0, UNCHANGED])
}
