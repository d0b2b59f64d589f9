import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import type { Task } from '../../model/task.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { AT_FDCWD } from '../flags.ts'
import { reach, type UnixAddress } from './address.ts'
import { occupantOf, type Occupant } from './occupant.ts'
import type { Binding, Place, Rendezvous, UnixSocket } from './socket.ts'
import type { UnixSockets } from './sockets.ts'

const RENAME_NOREPLACE = 1

/**
 * The names of all sockets. While a restore runs, a path is called otherwise: so nobody else connects, or sends
 * anything, before what the images say is there; and the sockets that had one path one after another can all be
 * connected to.
 */
export class Names {
  readonly places: Place[] = []
  readonly #byName = new Map<string, Place>()
  readonly #occupants = new Map<string, Occupant>()
  /** Nobody can guess it, so nobody waits for a name with it. */
  readonly #token = randomBytes(9).toString('base64url')
  #count = 0

  constructor({ all, rendezvous }: UnixSockets) {
    const bindings = [
      ...rendezvous.flatMap((each) => this.#ofRendezvous(each)),
      ...all.filter(isBound).map((socket) => this.#ofSocket(socket)),
    ]
    // A sort keeps the order of equals: what is there only for the moment goes before what stays.
    for (const binding of bindings.sort(byDeletion)) {
      binding.place.bindings.push(binding)
      if (binding.socket !== undefined) binding.socket.binding = binding
    }
    for (const each of rendezvous) if (each.listener !== undefined) each.binding = each.listener.binding
  }

  /** Who has a path now. */
  occupantAt(path: string): Occupant {
    const known = this.#occupants.get(path) ?? occupantOf(path)
    this.#occupants.set(path, known)
    return known
  }

  /** Who has a path at last, or, of those that were deleted, who had it last. */
  lastBinding(path: string, isDeleted: boolean): Binding | undefined {
    return this.#byName.get(path)?.bindings.findLast((binding) => binding.isDeleted === isDeleted)
  }

  #ofRendezvous(rendezvous: Rendezvous): Binding[] {
    if (rendezvous.listener !== undefined) return []
    const [first] = rendezvous.arrivals
    const entry = first?.accepted?.entry
    rendezvous.binding = this.#make(rendezvous.address, { entry, socket: undefined, rendezvous })
    return [rendezvous.binding]
  }

  #ofSocket(socket: UnixSocket): Binding {
    const { entry } = socket
    const rendezvous = undefined
    return this.#make(socket.address as UnixAddress, { entry, socket, rendezvous })
  }

  #make(
    address: UnixAddress,
    what: Pick<Binding, 'socket' | 'rendezvous'> & { readonly entry: UnixSocket['entry'] | undefined },
  ): Binding {
    const { entry, socket, rendezvous } = what
    const { path } = address
    return {
      place: this.#placeOf(path, path ?? `${entry?.type ?? 0} ${address.text}`),
      address,
      perms: entry?.filePerms,
      isDeleted: path !== undefined && (entry?.deleted ?? false),
      socket,
      rendezvous,
      hidden: path === undefined ? undefined : this.besides(path),
    }
  }

  #placeOf(path: string | undefined, name: string): Place {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    const made: Place = { path, bindings: [] }
    this.#byName.set(name, made)
    this.places.push(made)
    return made
  }

  /** A name in the same folder that nobody has. */
  besides(path: string): string {
    return `${dirname(path)}/.${this.#token}${(this.#count++).toString(36)}`.replace(/^\/\//, '/')
  }
}

/** Whether a socket has its name by bind(2). An accepted one has that of the listener. */
function isBound({ address, origin }: UnixSocket): boolean {
  return address !== undefined && (origin.kind === 'alone' || origin.kind === 'pair')
}

function byDeletion(one: Binding, other: Binding): number {
  return Number(other.isDeleted) - Number(one.isDeleted)
}

/** Never over a name that somebody has. */
export function rename(
  ops: TaskOps,
  from: string,
  to: string,
  options: Parameters<TaskOps['call']>[2],
): void {
  ops.call('renameat2', [AT_FDCWD, { text: from }, AT_FDCWD, { text: to }, RENAME_NOREPLACE], options)
}

/** Gives a socket its name, in a process whose working directory is its own to change. */
export function bind(
  ops: TaskOps,
  slot: Slot,
  { address, hidden, perms }: Binding,
  task: Task | undefined,
): void {
  const { bytes, path, folder } = address
  inFolder(ops, folder, task, () => {
    ops.call(
      'bind',
      [{ slot }, { bytes }, bytes.length],
      path === undefined ? {} : { changes: { kind: 'create', path } },
    )
  })
  if (path === undefined || hidden === undefined) return
  if (perms !== undefined) {
    ops.call('fchownat', [AT_FDCWD, { text: path }, perms.uid, perms.gid, 0])
    ops.call('fchmodat', [AT_FDCWD, { text: path }, perms.mode & 0o7777])
  }
  rename(ops, path, hidden, { changes: { kind: 'move', path, to: hidden } })
}

/** Connects to who has a name. */
export function connect(ops: TaskOps, slot: Slot, binding: Binding, task: Task | undefined): void {
  const { bytes, folder } = reachOf(binding)
  inFolder(ops, folder, task, () => {
    ops.call('connect', [{ slot }, { bytes }, bytes.length])
  })
}

/** Calls that are made with a name in a folder. */
export function inFolder(
  ops: TaskOps,
  folder: string | undefined,
  task: Task | undefined,
  add: () => void,
): void {
  if (folder !== undefined) ops.call('chdir', [{ text: folder }])
  add()
  // Otherwise it goes where it belongs in the end.
  if (folder !== undefined && task?.surroundings.workingDirectory === undefined)
    ops.call('chdir', [{ text: process.cwd() }])
}

/** How a socket is reached by its name for as long as the restore runs. */
export function reachOf({ hidden, address }: Binding): ReturnType<typeof reach> {
  return hidden === undefined ? { folder: undefined, bytes: address.bytes } : reach(hidden)
}

/**
 * Which process makes a call with a name: one whose working directory nobody else changes meanwhile, and in whose table
 * nobody else makes descriptors. The owner of a table that shares its directory has the helper do it.
 */
export function actorOf(task: Task | undefined, folder: string | undefined): Task | undefined {
  return folder === undefined || task?.surroundings.owner === task ? task : undefined
}
