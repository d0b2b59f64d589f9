import { binding } from './binding.ts'
import { FdPassError } from './errors.ts'

/** What fcntl(2) tells of a descriptor (F_GETFL). Throws FdPassError EBADF when it is not open. */
export function fileFlagsOf(number: number, syscall = 'fcntl'): number {
  const flags = binding.fileFlags(number)
  if (flags < 0) throw new FdPassError(flags, syscall)
  return flags
}
