import type { FownEntry } from '../images/index.ts'
import type { Task } from '../model/task.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { OpenContext, OpenResult } from './kind.ts'
import { F_SETOWN_EX, F_SETSIG } from './flags.ts'

const UNCHANGED = -1

/** Whether there is anything for {@link restoreOwner} to do. */
export function hasOwner(fown: FownEntry | undefined): boolean {
  return fown !== undefined && (fown.pid !== 0 || fown.signum !== 0)
}

/**
 * The last step of open(): who gets a signal when the file is ready (fcntl(2), F_SETOWN_EX, F_SETSIG), when that process
 * is there. The kernel notes the user of the moment with it; so the call is made as that user.
 */
export function restoreOwner(context: OpenContext, fown: FownEntry | undefined): OpenResult {
  if (fown === undefined || !hasOwner(fown)) return { status: 0 }
  const { model, need, readyOf, file } = context
  const target = model.taskOf(fown.pid)
  const holder = file.fles[0]?.table.owner ?? context.task
  if (target !== undefined && !need(readyOf(target), 'restored')) return { status: 1 }
  if (holder !== undefined && !need(readyOf(holder), 'restored')) return { status: 1 }
  if (fown.pid !== 0 && target === undefined) {
    const message = `the owner of ${file.id}, process ${fown.pid}, is not in the images: the file gets none`
    context.warn({ reason: 'owner-outside', message, file: file.id })
  }
  setOwner(context, fown, holder === undefined ? context.ops : context.opsOf(holder), target)
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
