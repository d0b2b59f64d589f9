import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import { AT_FDCWD } from '../flags.ts'
import type { Situation, StepContext } from '../kind.ts'
import { rename, type Names } from './names.ts'
import type { Binding, Place } from './socket.ts'
import { unixOf } from './unix.ts'

const AT_REMOVEDIR = 0x200
const ENOENT = 2

/** A path that sockets take, or had. */
export interface PathPlace {
  readonly path: string
  readonly bindings: readonly Binding[]
  /** Whether one of them has it still. */
  readonly isKept: boolean
  /** What is called so now, and is none of them, is called this meanwhile: a socket that nobody has, or any file. */
  readonly aside: string | undefined
  /** Whether a file that is no socket has the path, or had it later. */
  isShared: boolean
}

/** What is done with the file system so that sockets can have their paths: all of it by the helper, and at once. */
export class SocketPaths {
  readonly places: readonly PathPlace[]
  readonly #names: Names
  readonly #folders: readonly string[]

  constructor(names: Names) {
    this.#names = names
    this.places = names.places.flatMap((place) => this.#placeOf(place))
    const deleted = this.places.filter(({ isKept }) => !isKept)
    this.#folders = missingFolders(deleted.map(({ path }) => dirname(path)))
  }

  #placeOf({ path, bindings }: Place): PathPlace[] {
    if (path === undefined) return []
    const occupant = this.#names.occupantAt(path)
    const isKept = bindings.some(({ isDeleted }) => !isDeleted)
    const isTaken = occupant === 'dead' || (occupant === 'other' && !isKept)
    const aside = isTaken ? this.#names.besides(path) : undefined
    return [{ path, bindings, isKept, aside, isShared: occupant === 'other' }]
  }

  /** Those whose path has another file, or had it later. */
  get shared(): PathPlace[] {
    return this.places.filter(({ isShared }) => isShared)
  }

  /** Says which paths deleted files had. */
  share(paths: Iterable<string>): void {
    const files = new Set(paths)
    for (const place of this.places) if (!place.isKept && files.has(place.path)) place.isShared = true
  }

  free(ops: TaskOps): void {
    for (const path of this.#folders)
      ops.call('mkdirat', [AT_FDCWD, { text: path }, 0o755], { changes: { kind: 'createFolder', path } })
    for (const { path, aside } of this.places) if (aside !== undefined) moveAside(ops, path, aside)
  }

  /** Every path has its name for good; one that was deleted looks so again, with the name that it had. */
  settle(ops: TaskOps): void {
    for (const place of this.places) {
      const { path, isShared, aside } = place
      const other = isShared ? this.#names.besides(path) : undefined
      // A deleted file has its path only if somebody has opened it.
      if (other !== undefined) moveAside(ops, path, other, ENOENT)
      settlePlace(ops, place)
      if (other !== undefined) moveBack(ops, other, path, ENOENT)
      else if (aside !== undefined && !place.isKept) moveBack(ops, aside, path)
    }
    for (const path of this.#folders.toReversed()) remove(ops, path, AT_REMOVEDIR)
  }

  /** What was left behind of sockets whose paths are others' now. */
  forget(ops: TaskOps): void {
    for (const { aside, isKept } of this.places)
      if (aside !== undefined && isKept) ops.call('unlinkat', [AT_FDCWD, { text: aside }, 0])
  }
}

/** Those of a plan. */
export function socketPaths(situation: Situation): SocketPaths {
  return situation.once('paths of Unix sockets', () => new SocketPaths(unixOf(situation).names))
}

function settlePlace(ops: TaskOps, { path, bindings }: PathPlace): void {
  for (const { hidden, isDeleted } of bindings) {
    if (hidden === undefined) continue
    rename(ops, hidden, path, { changes: { kind: 'move', path: hidden, to: path } })
    if (isDeleted) remove(ops, path, 0)
  }
}

/** Those that are not there, the outermost first. */
function missingFolders(folders: readonly string[]): string[] {
  const missing = new Set<string>()
  for (const folder of folders) {
    const chain: string[] = []
    for (let at = folder; !missing.has(at) && !existsSync(at); at = dirname(at)) chain.unshift(at)
    for (const at of chain) missing.add(at)
  }
  return [...missing]
}

function moveAside(ops: TaskOps, path: string, to: string, tolerate = 0): void {
  rename(ops, path, to, { changes: { kind: 'rename', path, to }, tolerate })
}

export function moveBack(ops: TaskOps, from: string, path: string, tolerate = 0): void {
  rename(ops, from, path, { changes: { kind: 'remove', path: from }, tolerate })
}

function remove(ops: TaskOps, path: string, flags: number): void {
  ops.call('unlinkat', [AT_FDCWD, { text: path }, flags], { changes: { kind: 'remove', path } })
}

/** The step after which paths can be taken. */
function freed(context: StepContext): PlanNode {
  return context.shared('paths of Unix sockets', () => ({
    task: undefined,
    label: 'places for the paths of Unix sockets',
    run: (step) => {
      const paths = socketPaths(step)
      paths.free(step.ops)
      step.afterOpens(undefined, (ops) => {
        paths.settle(ops)
      })
      step.afterCommit(undefined, (ops) => {
        paths.forget(ops)
      })
      return { status: 0 }
    },
  }))
}

/** Waits until a name can be taken: by those that had it before, and by what is in the way. */
export function isFree(context: StepContext, binding: Binding, before: readonly PlanNode[]): boolean {
  const nodes = binding.place.path === undefined ? before : [...before, freed(context)]
  // Each is asked, so that this waits for all of them at once.
  return nodes.filter((node) => !context.need(node, 'restored')).length === 0
}
