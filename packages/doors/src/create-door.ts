import { Door } from './door.ts'
import { threadsOf, type DoorOptions } from './door-options.ts'
import { doorOnLoop } from './door-on-loop.ts'
import { doorOnThreads, privatePool } from './door-on-threads.ts'
import { invalid } from './errors.ts'
import type { ProcedureModule } from './procedure-module.ts'
import type { Procedure } from './procedure.ts'
import type { ServerPool } from './server-pool.ts'
import { sharedPool } from './shared-pool.ts'

/**
 * Makes a door: a procedure that other processes call (door_create(3C)).
 *
 * A function runs on the event loop of this thread, and what it awaits runs beside other calls. A module (its URL, or
 * `{ module, export }`) is run by worker threads, which may block: those of a pool that all doors of this thread share,
 * or, with `private` or `threads`, of the door's own. Throws DoorError EINVAL for unknown options, EMFILE.
 */
export function createDoor(procedure: Procedure | URL | ProcedureModule, options: DoorOptions = {}): Door {
  if (typeof procedure === 'function') return doorOnLoop(procedure, options)
  if (typeof procedure !== 'object' || (procedure as unknown) === null)
    throw invalid('door_create', 'the procedure is a function, the URL of a module, or { module, export }')
  return doorOnThreads(procedure, options, 'door_create', () => poolOf(options))
}

/** Throws DoorError EINVAL for threads that there cannot be. */
function poolOf({ threads, private: own }: DoorOptions): { servers: ServerPool; own: boolean } {
  if (own !== true && threads === undefined) return { servers: sharedPool(), own: false }
  return privatePool({ ...threadsOf(threads ?? {}, 'door_create'), grows: true })
}
