import { binding } from './binding.ts'
import { EBADF, EINVAL, ENOENT, EPERM, ESRCH } from './errno.ts'
import { FdPassError } from './errors.ts'
import { Fd, numberOf, type FdLike } from './fd.ts'
import { invalid } from './options.ts'

const noProcess = 'it is the number of a thread that is not its process’s first'
/** What the errors of pidfd_open(2) mean. A thread's number is EINVAL on older kernels. */
const openRemedies: ReadonlyMap<number, string> = new Map([
  [EINVAL, noProcess],
  [ENOENT, noProcess],
  [ESRCH, 'there is no such process, or none any more'],
])
/** What people can do about the errors of pidfd_getfd(2). */
const getRemedies: ReadonlyMap<number, string> = new Map([
  [EBADF, 'the process has no such descriptor, or the first argument is no pidfd'],
  [EINVAL, 'this descriptor cannot be duplicated into another process'],
  [EPERM, 'it needs the rights of ptrace(2): the same user, a dumpable process, and ptrace_scope of Yama'],
  [ESRCH, 'the process has ended'],
])

/**
 * A descriptor of a process (pidfd_open(2)): it is readable when the process has ended, and never becomes another's, as
 * a number of a process does. Throws FdPassError: EINVAL (no positive integer); ENOENT, on older kernels EINVAL (a thread
 * that is not its process's first); ESRCH; EMFILE, ENFILE; ENOSYS before Linux 5.3.
 */
export function pidfdOpen(pid: number): Fd {
  if (!Number.isInteger(pid) || pid <= 0 || pid > 0x7fffffff) {
    throw invalid('pidfd_open', 'pid is a positive integer')
  }
  const number = binding.pidfdOpen(pid)
  if (number >= 0) return new Fd(number)
  throw new FdPassError(number, 'pidfd_open', { detail: openRemedies.get(number) })
}

/**
 * A duplicate of another process's descriptor `number` (pidfd_getfd(2)): of the same open file description. That
 * process is not asked and not told; its `pidfd` is borrowed. Throws FdPassError: EPERM, without the rights of
 * ptrace(2); ESRCH, the process has ended; EBADF, it has no such descriptor; EMFILE, ENFILE; ENOSYS before Linux 5.6.
 */
export function pidfdGetfd(pidfd: FdLike, number: number): Fd {
  const descriptor = numberOf(pidfd, 'pidfd_getfd')
  if (!Number.isInteger(number) || number < 0 || number > 0x7fffffff) {
    throw invalid('pidfd_getfd', 'the number of a descriptor is an integer that is not negative')
  }
  const duplicate = binding.pidfdGetfd(descriptor, number)
  if (duplicate >= 0) return new Fd(duplicate)
  throw new FdPassError(duplicate, 'pidfd_getfd', { detail: getRemedies.get(duplicate) })
}
