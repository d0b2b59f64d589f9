import { existsSync, linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import type { BigIntStats } from 'node:fs'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { ControlClient } from './control-client.ts'
import { ControlError, codeOf } from '../errors.ts'

/**
 * Listens at `path` with mode 600. The socket of a server that is gone is replaced; a live one is left alone.
 * @throws {ControlError} ERR_CONTROL_IN_USE naming who holds the socket, or ERR_CONTROL_PATH for another kind
 * of file there. Other errors are those of bind(2), with their codes.
 */
export async function listenPrivately(server: Server, path: string): Promise<void> {
  await clear(path)
  await bind(server, path)
}

/**
 * Listens with mode 600 beside `path`, whose socket is another server's. Returns what puts it in the place of that one:
 * at any moment one of them listens there.
 */
export async function listenBeside(server: Server, path: string): Promise<() => void> {
  const aside = `${path}.${process.pid}`
  removeQuietly(aside)
  await bind(server, aside)
  return () => {
    renameSync(aside, path)
  }
}

/** Takes a socket away that is this server's, and no other one's that has come to its place. */
export function removeOwn(path: string, inode: bigint): void {
  if (lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino === inode) removeQuietly(path)
}

export const inodeOf = (path: string): bigint => lstatSync(path, { bigint: true }).ino

function removeQuietly(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

async function bind(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening')
  // bind(2) takes the mode from the mask and happens within listen(), so no moment has a wider mode.
  const mask = process.umask(0o177)
  try {
    server.listen({ path })
  } finally {
    process.umask(mask)
  }
  try {
    await listening
  } catch (error) {
    if (codeOf(error) === 'EADDRINUSE') throw await heldError(path)
    // libuv reports a missing folder as EACCES, too.
    if (codeOf(error) !== 'EACCES') throw error
    const what = existsSync(dirname(path)) ? 'may not be written to' : 'does not exist'
    throw new ControlError(
      'ERR_CONTROL_PATH',
      `${path} cannot be made, for its folder ${what}; make the folder so, or choose another path with --control`,
      { cause: error },
    )
  }
}

async function clear(path: string): Promise<void> {
  const before = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (before === undefined) return
  if (!before.isSocket()) {
    throw new ControlError(
      'ERR_CONTROL_PATH',
      `${path} is not a socket; remove it or choose another path with --control`,
    )
  }
  if (await isLive(path)) throw await heldError(path)
  removeStale(path, before)
}

/** Whether somebody accepts at the socket; a full backlog (EAGAIN) is one who does. */
async function isLive(path: string): Promise<boolean> {
  const socket = connect({ path })
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(2000) })
    return true
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false
    if (code === 'EACCES') {
      throw new ControlError(
        'ERR_CONTROL_PATH',
        `${path} belongs to another user; choose another path with --control`,
        { cause: error },
      )
    }
    return true
  } finally {
    socket.destroy()
  }
}

/**
 * Takes the stale socket away. Two servers may find it stale at the same moment, and the slower one must not
 * remove what the faster one has bound since: it moves the name aside, looks at what it got, and puts a
 * stranger back.
 */
function removeStale(path: string, stale: BigIntStats): void {
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return
    throw error
  }
  const moved = lstatSync(aside, { bigint: true })
  if (moved.ino !== stale.ino || moved.mtimeNs !== stale.mtimeNs) linkSync(aside, path)
  unlinkSync(aside)
}

async function heldError(path: string): Promise<ControlError> {
  const remedy = 'stop it first, or choose another path with --control'
  try {
    const { pid, host, port } = await new ControlClient(path).status(AbortSignal.timeout(2000))
    const message = `${path} is held by the server with process id ${pid} at ${host} port ${port}; ${remedy}`
    return new ControlError('ERR_CONTROL_IN_USE', message)
  } catch (error) {
    const message = `${path} is held by a process that does not answer as this server; ${remedy}`
    return new ControlError('ERR_CONTROL_IN_USE', message, { cause: error })
  }
}
