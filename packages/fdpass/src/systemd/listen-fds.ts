import { fstatSync, statfsSync } from 'node:fs'
import { binding } from '../binding.ts'
import { EBADF } from '../errno.ts'
import { FdPassError } from '../errors.ts'
import { Fd } from '../fd.ts'
import { checkFields, invalid } from '../options.ts'
import {
  checkUnset,
  integerVariable,
  namesThisProcess,
  unsetVariables,
  type UnsetOptions,
} from './environment.ts'

/** A descriptor that the manager has passed. */
export interface ListenFd {
  /** What the manager calls it, `unknown` when it does not say. Names need not be unique. */
  readonly name: string
  readonly fd: Fd
}

const SYSCALL = 'listenFds'
/** SD_LISTEN_FDS_START */
const FIRST = 3
const MOST = 0x7fffffffn - BigInt(FIRST)
const variables = ['LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDS', 'LISTEN_FDNAMES']

/**
 * The descriptors that the service manager has passed to this process, in its order: sockets of socket activation, and
 * what the service had in its descriptor store (sd_listen_fds(3)). Each is the caller's, and close-on-exec. None, when
 * there were none, when they are another process's, and, as the variables are removed unless `unset` is false, when this
 * is not the first call. In a worker thread `process.env` is a copy: call it in one thread only, before others start.
 *
 * Throws FdPassError, and has changed nothing by then: EINVAL when the variables contradict each other or are malformed,
 * EBADF when a descriptor is not open, EBUSY when this thread owns one already.
 */
export function listenFds(options: UnsetOptions = {}): ListenFd[] {
  checkFields(options, ['unset'], SYSCALL)
  const unset = checkUnset(options, true, SYSCALL)
  const names = passedNames()
  const fds = adopt(names.length)
  if (unset) unsetVariables(variables)
  return fds.map((fd, index) => ({ name: names[index] as string, fd }))
}

/** A name for each descriptor. */
function passedNames(): string[] {
  if (namesThisProcess('LISTEN_PID', SYSCALL) !== true) return []
  const identity = integerVariable('LISTEN_PIDFDID', 0n, 0xffffffffffffffffn, SYSCALL)
  if (identity !== undefined && identity !== (ownIdentity() ?? identity)) return []
  const given = integerVariable('LISTEN_FDS', 1n, MOST, SYSCALL)
  if (given === undefined) return []
  const count = Number(given)
  for (let number = FIRST; number < FIRST + count; number++) checkPassed(number)
  const names = process.env.LISTEN_FDNAMES?.split(':') ?? Array<string>(count).fill('unknown')
  if (names.length === count) return names
  throw invalid(SYSCALL, `$LISTEN_FDNAMES has ${names.length} names for ${count} descriptors`)
}

/**
 * The number of this process that the kernel gives to no other one: the inode of its pidfd. Undefined where pidfds have
 * none of their own, before Linux 6.9, and where /proc is not there to tell.
 */
function ownIdentity(): bigint | undefined {
  const PID_FS_MAGIC = 0x50494446
  const pidfd = binding.pidfdOpen(process.pid)
  if (pidfd < 0) return undefined
  try {
    if (statfsSync(`/proc/self/fd/${pidfd}`).type !== PID_FS_MAGIC) return undefined
    return fstatSync(pidfd, { bigint: true }).ino
  } catch {
    return undefined
  } finally {
    binding.close(pidfd)
  }
}

function checkPassed(number: number): void {
  const kind = binding.kind(number)
  if (typeof kind === 'number') {
    throw new FdPassError(kind, SYSCALL, {
      detail: `descriptor ${number} is not open: $LISTEN_FDS says more than were passed, or they were closed`,
    })
  }
  // The first descriptor that Node opens, and so the first that is missing, is an epoll instance.
  if (kind === 'epoll') {
    throw new FdPassError(EBADF, SYSCALL, {
      detail: `descriptor ${number} is Node’s own: $LISTEN_FDS says more than were passed`,
    })
  }
}

function adopt(count: number): Fd[] {
  const fds: Fd[] = []
  try {
    while (fds.length < count) fds.push(Fd.from(FIRST + fds.length))
    return fds
  } catch (error) {
    for (const fd of fds) fd.take()
    throw error
  }
}
