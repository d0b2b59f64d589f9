import { countdown } from '../countdown.ts'
import type { FdLike } from '../fd.ts'
import {
  checkFields,
  checkTimeout,
  checkWait,
  invalid,
  type SyncWaitOptions,
  type WaitOptions,
} from '../options.ts'
import { MOST_RIGHTS } from '../socket-options.ts'
import { ManagerSocket, openNumbers } from './manager-socket.ts'

export interface FdStorePutSyncOptions extends SyncWaitOptions {
  /**
   * Whether the manager drops a descriptor that has hung up or has an error (EPOLLHUP, EPOLLERR): yes, unless told. With
   * false (FDPOLL=0) it stays until it is removed.
   */
  poll?: boolean | undefined
}

export interface FdStorePutOptions extends FdStorePutSyncOptions, WaitOptions {}

const SYSCALL = 'fdStore'

/** What systemd takes for a name in $LISTEN_FDNAMES. */
function checkName(name: string): void {
  if (typeof name !== 'string' || !/^[ -9;-~]{0,255}$/.test(name)) {
    throw invalid(SYSCALL, 'a name is at most 255 characters of ASCII, without control characters and colons')
  }
}

interface Message {
  readonly text: string
  readonly fds: readonly number[]
}

/** As many messages as it takes; all is checked before the first goes. */
function putMessages(name: string, fds: Iterable<FdLike>, poll: unknown): Message[] {
  checkName(name)
  if (typeof poll !== 'boolean') throw invalid(SYSCALL, 'poll is a boolean')
  const numbers = openNumbers(fds, SYSCALL)
  if (numbers.length === 0) throw invalid(SYSCALL, 'there is no descriptor to put')
  const text = `FDSTORE=1\nFDNAME=${name}${poll ? '' : '\nFDPOLL=0'}`
  return Array.from({ length: Math.ceil(numbers.length / MOST_RIGHTS) }, (_, index) => ({
    text,
    fds: numbers.slice(index * MOST_RIGHTS, (index + 1) * MOST_RIGHTS),
  }))
}

function removeMessage(name: string): Message {
  checkName(name)
  return { text: `FDSTOREREMOVE=1\nFDNAME=${name}`, fds: [] }
}

async function sendAll(messages: readonly Message[], { timeout, signal }: WaitOptions): Promise<boolean> {
  signal?.throwIfAborted()
  const manager = ManagerSocket.open(false, SYSCALL)
  if (manager === undefined) return false
  try {
    // At once: a message that has to wait keeps duplicates, as its descriptors may be closed meanwhile.
    const sent = messages.map(({ text, fds }) => manager.send(text, fds, { timeout, signal }))
    for (const outcome of await Promise.allSettled(sent)) {
      if (outcome.status === 'rejected') throw outcome.reason
    }
    return true
  } finally {
    manager[Symbol.dispose]()
  }
}

function sendAllSync(messages: readonly Message[], { timeout }: SyncWaitOptions): boolean {
  const manager = ManagerSocket.open(false, SYSCALL)
  if (manager === undefined) return false
  const left = countdown(timeout)
  try {
    for (const { text, fds } of messages) manager.sendSync(text, fds, { timeout: left() })
    return true
  } finally {
    manager[Symbol.dispose]()
  }
}

/** See {@link fdStore}. */
export interface FdStore {
  /**
   * Has the manager keep duplicates of descriptors, which come back by `listenFds` when the service starts the next
   * time, and stay open if it crashes. More than 253 go in several messages; the manager keeps a descriptor once, so
   * that after a failure all can be put again.
   */
  put(name: string, fds: Iterable<FdLike>, options?: FdStorePutOptions): Promise<boolean>
  /** The same, blocking the thread until the messages are in the manager's queue. */
  putSync(name: string, fds: Iterable<FdLike>, options?: FdStorePutSyncOptions): boolean
  /** Has the manager close all that it keeps by this name. */
  remove(name: string, options?: WaitOptions): Promise<boolean>
  /** The same, blocking the thread. */
  removeSync(name: string, options?: SyncWaitOptions): boolean
}

/**
 * The descriptor store that the service manager has for this service, if FileDescriptorStoreMax= of its unit is not 0
 * (FDSTORE=1 of sd_notify(3)). Results are those of `notify`: true says that the manager was told, not that it has kept
 * anything. Errors are those of `notify` too; a name that systemd would ignore is EINVAL.
 */
export const fdStore: FdStore = {
  async put(name, fds, options = {}) {
    checkWait(options, SYSCALL, ['poll'])
    return sendAll(putMessages(name, fds, options.poll ?? true), options)
  },

  putSync(name, fds, options = {}) {
    checkFields(options, ['timeout', 'poll'], SYSCALL)
    checkTimeout(options.timeout, SYSCALL)
    return sendAllSync(putMessages(name, fds, options.poll ?? true), options)
  },

  async remove(name, options = {}) {
    checkWait(options, SYSCALL)
    return sendAll([removeMessage(name)], options)
  },

  removeSync(name, options = {}) {
    checkFields(options, ['timeout'], SYSCALL)
    checkTimeout(options.timeout, SYSCALL)
    return sendAllSync([removeMessage(name)], options)
  },
}
