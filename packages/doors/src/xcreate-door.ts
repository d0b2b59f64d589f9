import { DOOR_NO_DEPLETION_CB, DOOR_PRIVATE } from './attributes.ts'
import { Door } from './door.ts'
import { threadsOf, type DoorOptions, type ThreadOptions } from './door-options.ts'
import { doorOnThreads, privatePool } from './door-on-threads.ts'
import { checkFields, DoorError, E, invalid } from './errors.ts'
import type { ProcedureModule } from './procedure-module.ts'
import type { ServerPool } from './server-pool.ts'

/** Threads that `xcreateDoor` makes. */
export interface CreateThreads extends Omit<ThreadOptions, 'min'> {
  /** How many there are from the beginning. */
  count: number
  /** False: no thread is added when all run procedures (DOOR_NO_DEPLETION_CB). */
  grow?: boolean | undefined
}

/**
 * Makes a private door with threads of its own, and resolves when all of them serve (door_xcreate(3C)). Rejects with
 * DoorError EINVAL (options; `count` below 1; the callback has declined), EPIPE (the callback has thrown: the cause), EBADF (a
 * thread has ended before it served). There is no door then.
 */
export async function xcreateDoor(
  procedure: URL | ProcedureModule,
  options: Omit<DoorOptions, 'private' | 'threads'> & { threads: CreateThreads },
): Promise<Door> {
  const syscall = 'door_xcreate'
  const { threads, ...rest } = options
  if (typeof threads !== 'object' || (threads as unknown) === null)
    throw invalid(syscall, 'threads is { count, … }')
  const { count, grow = true, ...more } = threads
  checkFields(threads, ['count', 'grow', 'max', 'create'], syscall)
  if (!Number.isInteger(count) || count < 1) throw invalid(syscall, 'threads.count is 1 or more')
  if (typeof grow !== 'boolean') throw invalid(syscall, 'threads.grow is true or false')
  const { max, create } = threadsOf({ min: count, ...more }, syscall)
  const limits = { min: 0, max, create, grows: grow }
  const pool = privatePool(limits)
  const attributes = DOOR_PRIVATE | (grow ? 0 : DOOR_NO_DEPLETION_CB)
  const door = doorOnThreads(procedure, rest, syscall, () => pool, attributes)
  try {
    const adding = Array.from({ length: count }, () => firstThread(pool.servers))
    await Promise.all(adding)
    pool.servers.keep(count)
    return door
  } catch (error) {
    await door.revoke()
    throw error
  }
}

async function firstThread(servers: ServerPool): Promise<void> {
  let adding: Promise<void> | undefined
  try {
    adding = servers.add(false)
  } catch (cause) {
    throw new DoorError(E.EPIPE, 'door_xcreate', { cause, detail: 'the server creation callback has failed' })
  }
  if (adding === undefined) throw invalid('door_xcreate', 'the server creation callback has declined')
  await adding
}
