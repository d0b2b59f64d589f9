import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { FilePermsEntry } from '../../images/index.ts'
import type { Task } from '../../model/task.ts'
import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { AT_FDCWD } from '../flags.ts'
import type { Situation, StepContext } from '../kind.ts'
import { reach, type UnixAddress } from './address.ts'
import { occupantOf, type Occupant } from './occupant.ts'
import type { Rendezvous, UnixSocket } from './socket.ts'
import { unixSockets } from './sockets.ts'

const RENAME_NOREPLACE = 1
const AT_REMOVEDIR = 0x200

/** A name that sockets have, or had: those that had a path one after another take it one after another. */
export interface Place {
  /** Undefined for an abstract name. */
  readonly path: string | undefined
  /** In the order in which they take it. Those whose path was deleted come first. */
  readonly bindings: Binding[]
}

/** That a socket has a name. */
export interface Binding {
  readonly place: Place
  readonly address: UnixAddress
  readonly perms: FilePermsEntry | undefined
  /** Whether the path was deleted since, or is another socket's. */
  readonly isDeleted: boolean
  /** Undefined for a listener that is there only while its connections are made. */
  readonly socket: UnixSocket | undefined
  readonly rendezvous: Rendezvous | undefined
  /** What the path is called until everything is open. */
  readonly hidden: string | undefined
}

/**
 * The names of all sockets. While a restore runs, a path is called otherwise: so nobody else connects, or sends
 * anything, before what the images say is there; and the sockets that had one path one after another can all be
 * connected to.
 */
export class Names {
  readonly places: Place[] = []
  readonly #bySocket = new Map<UnixSocket, Binding>()
  readonly #byRendezvous = new Map<Rendezvous, Binding>()
  readonly #byName = new Map<string, Place>()
  readonly #occupants = new Map<string, Occupant>()
  /** Nobody can guess it, so nobody waits for a name with it. */
  readonly #token = randomBytes(9).toString('base64url')
  #count = 0

  constructor(situation: Situation) {
    const { all, rendezvous } = unixSockets(situation)
    const bindings = [
      ...rendezvous.flatMap((each) => this.#ofRendezvous(each)),
      ...all.filter(isBound).map((socket) => this.#ofSocket(socket)),
    ]
    // A sort keeps the order of equals: what is there only for the moment goes before what stays.
    for (const binding of bindings.sort(byDeletion)) {
      binding.place.bindings.push(binding)
      if (binding.socket !== undefined) this.#bySocket.set(binding.socket, binding)
      if (binding.rendezvous !== undefined) this.#byRendezvous.set(binding.rendezvous, binding)
    }
  }

  of(socket: UnixSocket): Binding | undefined {
    return this.#bySocket.get(socket)
  }

  ofRendezvous(rendezvous: Rendezvous): Binding | undefined {
    return this.#byRendezvous.get(rendezvous)
  }

  /** Who has a path now. */
  occupantAt(path: string): Occupant {
    const known = this.#occupants.get(path) ?? occupantOf(path)
    this.#occupants.set(path, known)
    return known
  }

  #ofRendezvous(rendezvous: Rendezvous): Binding[] {
    if (rendezvous.listener !== undefined) return []
    const [first] = rendezvous.arrivals
    const entry = first?.accepted?.entry
    return [this.#make(rendezvous.address, { entry, socket: undefined, rendezvous })]
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

/** Those of a plan. */
export function unixNames(situation: Situation): Names {
  return situation.once('names of Unix sockets', () => new Names(situation))
}

/** Whether a socket has its name by bind(2). An accepted one has that of the listener. */
function isBound({ address, origin }: UnixSocket): boolean {
  return address !== undefined && (origin.kind === 'alone' || origin.kind === 'pair')
}

function byDeletion(one: Binding, other: Binding): number {
  return Number(other.isDeleted) - Number(one.isDeleted)
}

/** The step after which a path can be taken. */
function freed(context: StepContext, place: Place, path: string): PlanNode {
  return context.shared(`path of sockets ${path}`, () => ({
    task: undefined,
    label: `place at ${path}`,
    run: (step) => {
      const names = unixNames(step)
      const folders = missingFolders(dirname(path))
      const aside = names.occupantAt(path) === 'dead' ? names.besides(path) : undefined
      for (const folder of folders)
        step.ops.call('mkdirat', [AT_FDCWD, { text: folder }, 0o755], {
          changes: { kind: 'createFolder', path: folder },
        })
      if (aside !== undefined) rename(step.ops, path, aside, { changes: { kind: 'rename', path, to: aside } })
      step.afterOpens(undefined, (ops) => {
        settle(ops, place, path)
        if (aside !== undefined && !place.bindings.some(hasPath))
          rename(ops, aside, path, { changes: { kind: 'remove', path: aside } })
        for (const folder of folders.toReversed()) remove(ops, folder, AT_REMOVEDIR)
      })
      if (aside !== undefined && place.bindings.some(hasPath))
        step.afterCommit(undefined, (ops) => {
          ops.call('unlinkat', [AT_FDCWD, { text: aside }, 0])
        })
      return { status: 0 }
    },
  }))
}

function hasPath({ isDeleted }: Binding): boolean {
  return !isDeleted
}

/** Every path has its name for good; one that was deleted looks so again, with the name that it had. */
function settle(ops: TaskOps, { bindings }: Place, path: string): void {
  for (const { hidden, isDeleted } of bindings) {
    if (hidden === undefined) continue
    rename(ops, hidden, path, { changes: { kind: 'move', path: hidden, to: path } })
    if (isDeleted) remove(ops, path, 0)
  }
}

function missingFolders(folder: string): string[] {
  const missing: string[] = []
  for (let at = folder; !existsSync(at); at = dirname(at)) missing.unshift(at)
  return missing
}

function rename(ops: TaskOps, from: string, to: string, options: Parameters<TaskOps['call']>[2]): void {
  ops.call('renameat2', [AT_FDCWD, { text: from }, AT_FDCWD, { text: to }, RENAME_NOREPLACE], options)
}

function remove(ops: TaskOps, path: string, flags: number): void {
  ops.call('unlinkat', [AT_FDCWD, { text: path }, flags], { changes: { kind: 'remove', path } })
}

/** Waits until a name can be taken: by those that had it before, and by what is in the way. */
export function isFree(context: StepContext, binding: Binding, before: readonly PlanNode[]): boolean {
  const { place } = binding
  const nodes = place.path === undefined ? before : [...before, freed(context, place, place.path)]
  // Each is asked, so that this waits for all of them at once.
  return nodes.filter((node) => !context.need(node, 'restored')).length === 0
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

/** Which process makes a call with a name: one whose working directory nobody else changes meanwhile. */
export function actorOf(task: Task | undefined, folder: string | undefined): Task | undefined {
  return folder === undefined ? task : task?.surroundings.owner
}
