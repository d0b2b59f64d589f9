import { RestoreError, type Problem } from '../errors.ts'
import { ENOENT, ESRCH, textOf } from './errno.ts'
import { type Fdinfo, parseFdinfo } from './fdinfo.ts'
import { lookAtNumber, type FileStatus } from './file-status.ts'

/** A descriptor, ours or another process's, and what /proc tells of it. */
export interface Descriptor {
  readonly pid: number
  readonly fd: number
  readonly link: string
  readonly stats: FileStatus
  readonly info: Fdinfo
}

/** An open file description, by a descriptor of ours, which is borrowed. */
export interface OpenFile extends Descriptor {
  /** In the images. */
  readonly id: number
  /** Our descriptor of it. */
  readonly number: number
  /** A process that holds it; of a description in flight that which holds the socket. */
  readonly holder: number
}

/** A descriptor that only names a file; most calls know nothing of it. */
export const O_PATH = 0o10000000

/** A descriptor of a process, ours or another. Undefined when it has been closed meanwhile. */
export function lookAt(pid: number, fd: number): Descriptor | undefined {
  const look = lookAtNumber(pid, fd)
  if (typeof look === 'number') {
    if (look === ENOENT || look === ESRCH) return undefined
    throw new RestoreError(
      [
        {
          reason: 'not-permitted',
          pid,
          fd,
          message: `descriptor ${fd} of process ${pid} cannot be seen: ${textOf(look)}`,
        },
      ],
      { errno: look },
    )
  }
  const info = parseFdinfo(look.info)
  return info && { pid, fd, link: look.link, stats: look.stats, info }
}

/** A path of /proc that opens its file anew, for as long as the trees stand. */
export const pathOf = ({ holder, pid, fd, number }: OpenFile): string =>
  holder === pid ? `/proc/${pid}/fd/${fd}` : `/proc/self/fd/${number}`

/** Where a problem is. */
export const placeOf = ({ holder, pid, fd, id }: OpenFile): Omit<Problem, 'reason' | 'message'> =>
  holder === pid ? { pid, fd, file: id } : { pid: holder, file: id }

/** `descriptor 5 of process 17`, for people. */
export const titleOf = ({ holder, pid, fd, link }: OpenFile): string =>
  holder === pid ? `descriptor ${fd} of process ${pid}` : `a file in flight to process ${holder} (${link})`
