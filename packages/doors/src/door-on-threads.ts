import { DOOR_NO_CANCEL } from './attributes.ts'
import { Door } from './door.ts'
import { partsOf, type DoorOptions } from './door-options.ts'
import { DoorError, E } from './errors.ts'
import { checkModule, sourceToBytes, type ProcedureModule } from './procedure-module.ts'
import { ServerPool, type PoolLimits } from './server-pool.ts'
import type { Servers } from './servers.ts'

/** A door of a module. `pool` is asked for when all else is checked. */
export function doorOnThreads(
  module: URL | ProcedureModule,
  options: DoorOptions,
  syscall: string,
  pool: () => { servers: ServerPool; own: boolean },
  attributes = 0,
): Door {
  const parts = partsOf(options, syscall)
  const source = sourceToBytes({
    ...checkModule(module, syscall),
    cookie: options.cookie,
    cancels: (parts.attributes & DOOR_NO_CANCEL) === 0,
    lendsBuffer: options.reuseBuffer === true,
  })
  const { servers, own } = pool()
  try {
    return new Door({
      ...parts,
      attributes: parts.attributes | attributes,
      source,
      runsHere: false,
      serve: (door, rest): Servers => {
        servers.join(door, { rest })
        if (own) servers.makePrivate(door)
        servers.fill()
        return servers
      },
      addThread: () => (own ? oneMore(servers) : Promise.reject(withoutThreads())),
    })
  } catch (error) {
    servers.abandon()
    throw error
  }
}

async function oneMore(servers: ServerPool): Promise<void> {
  const adding = servers.add(false)
  if (adding === undefined) {
    const detail = 'there may be no more threads, or the server creation callback has declined'
    throw new DoorError(E.EAGAIN, 'door_bind', { detail })
  }
  await adding
}

const withoutThreads = (): DoorError =>
  new DoorError(E.EINVAL, 'door_bind', { detail: 'this door has no threads of its own (DOOR_PRIVATE)' })

export const privatePool = (limits: PoolLimits): { servers: ServerPool; own: boolean } => ({
  servers: new ServerPool(limits, () => undefined),
  own: true,
})
