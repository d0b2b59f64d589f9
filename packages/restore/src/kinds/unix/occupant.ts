import { closeSync, lstatSync, openSync, readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { FdPassError, FdSocket } from '@x/fdpass'
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from '../flags.ts'
import { LONGEST_NAME } from './address.ts'

/** What has a name now: nothing; a socket that nobody has any more; one that somebody has; anything else. */
export type Occupant = 'nobody' | 'dead' | 'living' | 'other'

export function occupantOf(path: string): Occupant {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return 'nobody'
  if (!found.isSocket()) return 'other'
  if (Buffer.byteLength(path) <= LONGEST_NAME) return isLiving(path) ? 'living' : 'dead'
  const folder = openSync(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC)
  try {
    return isLiving(`/proc/self/fd/${folder}/${basename(path)}`) ? 'living' : 'dead'
  } finally {
    closeSync(folder)
  }
}

/**
 * Whether anybody has the socket of a path. A datagram socket asks: one that is connected or listens for another type
 * answers EPROTOTYPE, and its owner does not notice.
 */
function isLiving(path: string): boolean {
  try {
    FdSocket.connectSync(path, { type: 'dgram' }).close()
    return true
  } catch (error) {
    if (error instanceof FdPassError) return error.code !== 'ECONNREFUSED'
    throw error
  }
}

/** Abstract names of this network namespace, as `type name` with @ for each NUL (proc(5), /proc/net/unix). */
export function abstractNames(): ReadonlySet<string> {
  const names = new Set<string>()
  for (const line of readFileSync('/proc/net/unix', 'latin1').split('\n')) {
    const [, type, name] = /^\S+ \S+ \S+ \S+ (\S+) \S+ +\d+ (@.*)$/.exec(line) ?? []
    if (type !== undefined && name !== undefined) names.add(`${parseInt(type, 16)} ${name}`)
  }
  return names
}
