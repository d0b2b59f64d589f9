import type { Slot } from '../program/op.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import { changeable, F_SETFL } from './flags.ts'

/**
 * Sets those flags of an open file (fcntl(2), F_SETFL) that the call that made it was not told of. A call that makes one
 * must not be told of O_ASYNC: then that is only shown, and nobody gets a signal.
 */
export function setStatusFlags(ops: TaskOps, slot: Slot, flags: number, told: number): void {
  const wanted = flags & changeable
  if (wanted !== (told & changeable)) ops.call('fcntl', [{ slot }, F_SETFL, wanted])
}
