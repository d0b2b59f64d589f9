import type { FdLike } from '../fd.ts'
import type { SendOptions, SendSyncOptions } from '../fd-socket.ts'
import type { Credentials } from '../message.ts'
import {
  checkFields,
  checkTimeout,
  checkWait,
  invalid,
  type SyncWaitOptions,
  type WaitOptions,
} from '../options.ts'
import { MOST_RIGHTS } from '../socket-options.ts'
import { checkUnset, type UnsetOptions } from './environment.ts'
import { ManagerSocket, openNumbers } from './manager-socket.ts'
import { encodeState, type NotifyState } from './notify-state.ts'

export interface NotifySyncOptions extends SyncWaitOptions, UnsetOptions {
  /** Descriptors that go along, at most 253. They stay open. Managers close those that the state says nothing of. */
  fds?: Iterable<FdLike> | undefined
  /** On behalf of which process; needs CAP_SYS_ADMIN, unless it is the own one. */
  pid?: number | undefined
}

export interface NotifyOptions extends NotifySyncOptions, WaitOptions {}

const SYSCALL = 'notify'
const ownFields = ['unset', 'fds', 'pid']

/** What the manager is told of the sender; undefined for what the kernel says by itself. */
function credentialsOf(pid: number | undefined): Credentials | undefined {
  if (pid === undefined) return undefined
  if (!Number.isInteger(pid) || pid < 1 || pid > 0x7fffffff)
    throw invalid(SYSCALL, 'pid is that of a process')
  const { getuid, getgid } = process as Required<NodeJS.Process>
  return { pid, uid: getuid(), gid: getgid() }
}

function checkedFds(fds: Iterable<FdLike>): number[] {
  const numbers = openNumbers(fds, SYSCALL)
  if (numbers.length <= MOST_RIGHTS) return numbers
  throw invalid(SYSCALL, `a message has at most ${MOST_RIGHTS} descriptors; fdStore.put() splits more`)
}

interface Notification {
  readonly message: Buffer
  readonly fds: readonly number[]
  readonly credentials: Credentials | undefined
  readonly manager: ManagerSocket | undefined
}

/** Looks at everything before the way to the manager is opened, and the variable is gone. */
function prepare(state: NotifyState, options: NotifySyncOptions): Notification {
  const unset = checkUnset(options, false, SYSCALL)
  const message = encodeState(state)
  const credentials = credentialsOf(options.pid)
  const fds = checkedFds(options.fds ?? [])
  return { message, fds, credentials, manager: ManagerSocket.open(unset, SYSCALL) }
}

/**
 * Tells the service manager of this service's state (sd_notify(3)). Resolves with true when the message is in the
 * manager's queue, which does not say that it was taken; with false when there is no manager, $NOTIFY_SOCKET not being
 * set. Messages go in the order of the calls.
 *
 * Rejects with FdPassError: EINVAL, EBADF, EMSGSIZE (more than 4096 bytes), and nothing was sent or unset; EAFNOSUPPORT
 * (a vsock); ENOENT, ECONNREFUSED, EACCES (the socket of the manager); EPERM (`pid` is not yours to say); ETIMEDOUT (its
 * queue is full).
 */
export async function notify(state: NotifyState, options: NotifyOptions = {}): Promise<boolean> {
  checkWait(options, SYSCALL, ownFields)
  const { timeout, signal } = options
  signal?.throwIfAborted()
  const { message, fds, credentials, manager } = prepare(state, options)
  if (manager === undefined) return false
  try {
    await manager.send(message, fds, { credentials, timeout, signal } satisfies SendOptions)
    return true
  } finally {
    manager[Symbol.dispose]()
  }
}

/** The same, blocking the thread until the message is in the manager's queue. */
export function notifySync(state: NotifyState, options: NotifySyncOptions = {}): boolean {
  checkFields(options, ['timeout', ...ownFields], SYSCALL)
  checkTimeout(options.timeout, SYSCALL)
  const { message, fds, credentials, manager } = prepare(state, options)
  if (manager === undefined) return false
  try {
    manager.sendSync(message, fds, { credentials, timeout: options.timeout } satisfies SendSyncOptions)
    return true
  } finally {
    manager[Symbol.dispose]()
  }
}
