import { countdown } from '../countdown.ts'
import { FdSocket } from '../fd-socket.ts'
import { checkFields, checkTimeout, checkWait, type SyncWaitOptions, type WaitOptions } from '../options.ts'
import { checkUnset, type UnsetOptions } from './environment.ts'
import { ManagerSocket } from './manager-socket.ts'

export interface NotifyBarrierOptions extends WaitOptions, UnsetOptions {}
export interface NotifyBarrierSyncOptions extends SyncWaitOptions, UnsetOptions {}

const SYSCALL = 'notifyBarrier'
/** It must be alone in its message, with one descriptor. */
const BARRIER = 'BARRIER=1'

/**
 * A stream of which the manager gets one end, and this process sees when that is closed. libsystemd takes a pipe; the
 * manager does nothing with what it gets but to close it, so any stream will do.
 */
const makeBarrier = (): [FdSocket, FdSocket] => FdSocket.pair({ framed: false, rights: false })

/**
 * Resolves when the service manager has processed every message that was sent to it before (sd_notify_barrier(3)): with
 * true, or with false when there is no manager. Rejects with FdPassError ETIMEDOUT, and as `notify` does.
 */
export async function notifyBarrier(options: NotifyBarrierOptions = {}): Promise<boolean> {
  checkWait(options, SYSCALL, ['unset'])
  const unset = checkUnset(options, false, SYSCALL)
  const { timeout, signal } = options
  signal?.throwIfAborted()
  const left = countdown(timeout)
  const [ours, theirs] = makeBarrier()
  try {
    const manager = ManagerSocket.open(unset, SYSCALL)
    if (manager === undefined) return false
    try {
      await manager.send(BARRIER, [theirs], { timeout: left(), signal })
    } finally {
      manager[Symbol.dispose]()
      theirs.close()
    }
    while ((await ours.recv({ timeout: left(), signal })) !== null);
    return true
  } finally {
    theirs.close()
    ours.close()
  }
}

/** The same, blocking the thread. */
export function notifyBarrierSync(options: NotifyBarrierSyncOptions = {}): boolean {
  checkFields(options, ['timeout', 'unset'], SYSCALL)
  checkTimeout(options.timeout, SYSCALL)
  const unset = checkUnset(options, false, SYSCALL)
  const left = countdown(options.timeout)
  const [ours, theirs] = makeBarrier()
  try {
    const manager = ManagerSocket.open(unset, SYSCALL)
    if (manager === undefined) return false
    try {
      manager.sendSync(BARRIER, [theirs], { timeout: left() })
    } finally {
      manager[Symbol.dispose]()
      theirs.close()
    }
    while (ours.recvSync({ timeout: left() }) !== null);
    return true
  } finally {
    theirs.close()
    ours.close()
  }
}
