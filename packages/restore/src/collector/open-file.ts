import { type BigIntStats, fstatSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import { isSystemError } from './errno.ts'
import { type Fdinfo, parseFdinfo } from './fdinfo.ts'

/** A descriptor, ours or another process's, and what /proc tells of it. */
export interface Descriptor {
  readonly pid: number
  readonly fd: number
  readonly link: string
  readonly stats: BigIntStats
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

const linkOf = (path: string): string => readlinkSync(path, 'buffer').toString('utf8')

/** A descriptor of another process. Undefined when it has been closed meanwhile. */
export function lookAt(pid: number, fd: number): Descriptor | undefined {
  const path = `/proc/${pid}/fd/${fd}`
  try {
    const info = parseFdinfo(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1'))
    if (info === undefined) return undefined
    return { pid, fd, link: linkOf(path), stats: statSync(path, { bigint: true }), info }
  } catch (error) {
    if (isSystemError(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}

/** A descriptor of this process, which is open. */
export function lookAtOwn(number: number): Descriptor {
  const info = parseFdinfo(readFileSync(`/proc/self/fdinfo/${number}`, 'latin1'))
  if (info === undefined) throw new Error(`/proc/self/fdinfo/${number} is not what proc(5) says`)
  return {
    pid: process.pid,
    fd: number,
    link: linkOf(`/proc/self/fd/${number}`),
    stats: fstatSync(number, { bigint: true }),
    info,
  }
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
