import { DOOR_NO_CANCEL, DOOR_PRIVATE } from './attributes.ts'
import { Door } from './door.ts'
import { partsOf, type DoorOptions } from './door-options.ts'
import { DoorError, E, invalid } from './errors.ts'
import { loopServers } from './loop-servers.ts'
import type { Procedure } from './procedure.ts'

const noThreads = new Uint8Array(0)

/** A door of a function: the event loop of this thread serves it. */
export function doorOnLoop(procedure: Procedure, options: DoorOptions): Door {
  const parts = partsOf(options, 'door_create')
  if ((parts.attributes & DOOR_PRIVATE) !== 0)
    throw invalid('door_create', 'a function cannot be given to other threads: give the URL of a module')
  const served = {
    procedure,
    cookie: options.cookie,
    cancels: (parts.attributes & DOOR_NO_CANCEL) === 0,
    lendsBuffer: options.reuseBuffer === true,
  }
  return new Door({
    ...parts,
    source: noThreads,
    runsHere: true,
    serve: (door, rest) => {
      const servers = loopServers()
      servers.join(door, { ...served, rest })
      return servers
    },
    addThread: () =>
      Promise.reject(new DoorError(E.EINVAL, 'door_bind', { detail: 'this door has no threads' })),
  })
}
