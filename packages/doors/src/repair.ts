import { linkSync, lstatSync, readdirSync, renameSync, unlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { FdSocket } from '@x/fdpass'
import { binding } from './binding.ts'
import { DoorError, E, errnoOf, invalid } from './errors.ts'

let made = 0

/** A path beside another one, which nobody else uses: of the file that a name covers, or of the name that is to cover it. */
export const hiddenPath = (path: string): string =>
  join(dirname(path), `.${basename(path)}.door-${process.pid}-${++made}`)

/** What `repair` has found and done. */
export type Repaired =
  /** There is nothing to be done: no name, or a file that is none. */
  | 'nothing'
  /** The socket of a server that has gone is removed. */
  | 'removed'
  /** The same, and the file that it had covered is back. */
  | 'uncovered'

/**
 * Takes away a name that a server has left that has crashed: it is a socket on which nobody listens. The file that it had
 * covered comes back. Throws DoorError EBUSY when the name is alive, EINVAL for an abstract one (which ends with its
 * server), EACCES, EPERM.
 */
export function repair(path: string): Repaired {
  if (typeof path !== 'string' || path === '' || path.includes('\0'))
    throw invalid('fdetach', 'the name of a file is repaired; an abstract one ends with its server')
  const absolute = resolve(path)
  if (lstatSync(absolute, { throwIfNoEntry: false })?.isSocket() !== true) return 'nothing'
  checkDead(absolute)
  try {
    return uncover(absolute) ? 'uncovered' : removeDead(absolute)
  } catch (cause) {
    throw cause instanceof DoorError ? cause : new DoorError(errnoOf(cause) ?? E.EINVAL, 'fdetach', { cause })
  }
}

function checkDead(path: string): void {
  try {
    FdSocket.connectSync(path, { type: 'seqpacket', timeout: 0 }).close()
  } catch (error) {
    if (errnoOf(error) === E.ECONNREFUSED) return
    // It is a socket of another type, or its server is slow, or it lets nobody in: it is somebody's.
  }
  throw new DoorError(E.EBUSY, 'fattach', { detail: 'somebody serves this name' })
}

/** Exchanges the name with the file that its server has put aside. */
function uncover(path: string): boolean {
  const prefix = `.${basename(path)}.door-`
  const folder = dirname(path)
  const aside = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.startsWith(prefix))
    .map((entry) => join(folder, entry.name))
  const [covered] = aside
  if (covered === undefined) return false
  const error = binding.exchange(covered, path)
  // Another one repairs it too, and was first.
  if (error === E.ENOENT) return true
  if (error < 0) throw new DoorError(error, 'fdetach')
  unlinkSync(covered)
  return true
}

/** Moved aside before it is removed: what has the path by now may be another server's already. */
function removeDead(path: string): Repaired {
  const aside = hiddenPath(path)
  renameSync(path, aside)
  try {
    checkDead(aside)
  } catch (error) {
    linkSync(aside, path)
    unlinkSync(aside)
    throw error
  }
  unlinkSync(aside)
  return 'removed'
}
