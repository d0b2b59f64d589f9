import { lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Problem } from '../errors.ts'
import { RemapType, type Ghost, type RemapFilePathEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { PlanNode } from '../plan/node.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import { AT_FDCWD } from './flags.ts'
import { isFolderGhost, makeGhost } from './ghost.ts'
import type { Situation, StepContext } from './kind.ts'
import { pathsGivenBack } from './unix/coexistence.ts'
import { socketPaths } from './unix/places.ts'
import { temporaryFileOf } from './temporary-file.ts'
import { bindingNamed } from './unix/socket-name.ts'

/** A name that a deleted file had, and what is called so now. */
interface Name {
  readonly path: string
  /** What a living file of this name is called meanwhile; undefined when there is none. */
  readonly aside: string | undefined
  /** The deleted files of this name, the one deleted first first, each with the remap of one of its descriptions. */
  readonly layers: Layer[]
}

interface Layer {
  /** Which file it is: of the remap. */
  readonly inode: string
  readonly remap: RemapFilePathEntry
  readonly isFolder: boolean
  /** What it is called when all are there: the last one has the name itself. */
  path: string
}

const NO_REPLACE = 1

/**
 * The files of the images that have no name any more. To be opened, and to look deleted as they did, each gets its old
 * name for the moment; a file that has this name now is moved aside. When all is open, the names are taken away, and
 * what was moved is moved back.
 *
 * It is all done at once, by the helper: so every name is what it is from the first open to the last.
 */
export class DeletedFiles {
  readonly #names: readonly Name[]
  readonly #byFile = new Map<number, Layer>()
  readonly #parents: readonly string[]
  /** Files that have the paths of deleted sockets: they are called otherwise while these are made. */
  readonly #afterSockets: ReadonlySet<string>

  constructor(situation: Situation) {
    const { images, model, path } = situation
    const names = new Map<string, Name>()
    for (const remap of images.remaps) {
      const file = model.files.get(remap.origId)
      const entry = file?.entry.reg
      if (file === undefined || entry === undefined || comesOtherwise(file, situation)) continue
      const name = nameOf(names, path(entry.name))
      const inode = `${remap.remapType} ${remap.remapId}`
      const known = name.layers.find((layer) => layer.inode === inode)
      const isFolder = isFolderGhost(images.ghosts.get(remap.remapId))
      const layer = known ?? { inode, remap, isFolder, path: name.path }
      if (known === undefined) name.layers.push(layer)
      this.#byFile.set(remap.origId, layer)
    }
    this.#names = [...names.values()].sort(byDepth)
    for (const { path: last, layers } of this.#names) {
      for (const [place, layer] of layers.entries())
        if (place < layers.length - 1) layer.path = besides(last, place + 1)
    }
    this.#parents = missingParents(this.#names)
    const sockets = socketPaths(situation)
    sockets.share(this.#names.map(({ path: name }) => name))
    this.#afterSockets = new Set(sockets.shared.map(({ path: name }) => name))
  }

  has(file: File): boolean {
    return this.#byFile.has(file.id)
  }

  remapOf(file: File): RemapFilePathEntry | undefined {
    return this.#byFile.get(file.id)?.remap
  }

  /** Whether what has this name is called otherwise meanwhile, or has one only then. */
  concerns(file: File, name: string): boolean {
    return this.has(file) || this.#afterSockets.has(name) || this.#movedAbove(name) !== undefined
  }

  /** What a file is called meanwhile. */
  pathOf(file: File, name: string): string {
    const layer = this.#byFile.get(file.id)
    if (layer !== undefined) return layer.path
    const moved = this.#movedAbove(name)
    return moved?.aside === undefined ? name : moved.aside + name.slice(moved.path.length)
  }

  #movedAbove(name: string): Name | undefined {
    if (this.#names.length === 0) return undefined
    return this.#names.find(
      ({ path, aside }) => aside !== undefined && (name === path || name.startsWith(`${path}/`)),
    )
  }

  /** The step after whose opening all names are there. */
  node(context: StepContext): PlanNode {
    return context.shared('deleted files', () => ({
      task: undefined,
      label: 'names of deleted files',
      run: (step) => {
        const sockets = pathsGivenBack(step)
        if (sockets !== undefined && !step.need(sockets, 'restored')) return { status: 1 }
        this.#make(step)
        step.afterOpens(undefined, (ops) => {
          this.#takeAway(ops)
        })
        step.afterCommit(undefined, (ops) => {
          this.#removeLinks(step, ops)
        })
        return { status: 0 }
      },
    }))
  }

  #make(step: StepContext): void {
    const { ops } = step
    for (const path of this.#parents)
      ops.call('mkdirat', [AT_FDCWD, { text: path }, 0o700], { changes: { kind: 'createFolder', path } })
    const made = new Map<string, string>()
    for (const { path, aside, layers } of this.#names) {
      if (aside !== undefined) rename(ops, path, aside)
      for (const layer of layers) {
        this.#makeLayer(step, layer, path, made)
        if (layer.path !== path) rename(ops, path, layer.path)
      }
    }
  }

  /** A file has one inode under all its names. */
  #makeLayer(
    step: StepContext,
    { inode, remap, path: later }: Layer,
    path: string,
    made: Map<string, string>,
  ): void {
    const { ops, images, model, path: map } = step
    const source =
      made.get(inode) ??
      (remap.remapType === RemapType.LINKED
        ? map(model.files.get(remap.remapId)?.entry.reg?.name ?? '')
        : undefined)
    if (source !== undefined) {
      ops.call('linkat', [AT_FDCWD, { text: source }, AT_FDCWD, { text: path }, 0], {
        changes: { kind: 'create', path },
      })
    } else makeGhost(ops, images.ghosts.get(remap.remapId) as Ghost, path)
    made.set(inode, later)
  }

  /** In the reverse order: a deleted folder was made before what was in it. */
  #takeAway(ops: TaskOps): void {
    for (const { path, aside, layers } of this.#names.toReversed()) {
      for (const layer of layers.toReversed()) {
        if (layer.path !== path) renameBack(ops, layer.path, path)
        remove(ops, path, layer.isFolder)
      }
      if (aside !== undefined) renameBack(ops, aside, path)
    }
    for (const path of this.#parents.toReversed()) remove(ops, path, true)
  }

  /** The names by which CRIU keeps files that were deleted, but linked elsewhere, until they are restored. */
  #removeLinks({ model, path }: StepContext, ops: TaskOps): void {
    const links = new Set<string>()
    for (const { remap } of this.#byFile.values()) {
      const name =
        remap.remapType === RemapType.LINKED ? model.files.get(remap.remapId)?.entry.reg?.name : undefined
      if (name?.includes('/link_remap.') ?? false) links.add(path(name ?? ''))
    }
    for (const link of links) ops.call('unlinkat', [AT_FDCWD, { text: link }, 0], { tolerate: ENOENT })
  }
}

const ENOENT = 2
const AT_REMOVEDIR = 0x200

/** Those of a plan. */
export function deletedFiles(situation: Situation): DeletedFiles {
  return situation.once('deleted files', () => new DeletedFiles(situation))
}

/** Whether a deleted file can be made again. */
export function* checkDeleted(file: File, situation: Situation): Iterable<Problem> {
  const remap = deletedFiles(situation).remapOf(file)
  if (remap === undefined) return
  const { images, model } = situation
  const name = file.entry.reg?.name ?? ''
  const wrong = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'remap-fpath.img',
    file: file.id,
  })
  switch (remap.remapType) {
    case RemapType.GHOST:
      if (!images.ghosts.has(remap.remapId))
        yield wrong(
          'ghost-missing',
          `the content of ${name}, which was deleted, is in ghost-file-${remap.remapId.toString(16)}.img, and that is not there`,
        )
      break
    case RemapType.LINKED: {
      const link = model.files.get(remap.remapId)?.entry.reg?.name
      if (link === undefined || lstatSync(situation.path(link), { throwIfNoEntry: false }) === undefined)
        yield wrong(
          'file-missing',
          `${name} was deleted, and its other name ${link ?? `of file ${remap.remapId}`} is not there`,
        )
      break
    }
    case RemapType.PROCFS:
      yield wrong(
        'unsupported',
        `${name} belongs to process ${remap.remapId}, which had ended: that cannot be restored`,
      )
  }
}

/** Whether somebody else makes it again. */
function comesOtherwise(file: File, situation: Situation): boolean {
  return temporaryFileOf(file, situation) !== undefined || bindingNamed(file, situation) !== undefined
}

function nameOf(names: Map<string, Name>, path: string): Name {
  const known = names.get(path)
  if (known !== undefined) return known
  const isTaken = lstatSync(path, { throwIfNoEntry: false }) !== undefined
  const name: Name = { path, aside: isTaken ? besides(path, 0) : undefined, layers: [] }
  names.set(path, name)
  return name
}

/** A name in the same folder that nobody has. */
function besides(path: string, place: number): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${path}.restore-${place}-${process.pid}-${attempt}`
    if (lstatSync(name, { throwIfNoEntry: false }) === undefined) return name
  }
}

function byDepth(one: Name, other: Name): number {
  return one.path.split('/').length - other.path.split('/').length
}

/** Folders that are neither there nor deleted files themselves, the outermost first. */
function missingParents(names: readonly Name[]): string[] {
  const known = new Set(names.map(({ path }) => path))
  const missing = new Set<string>()
  for (const { path } of names) {
    const chain: string[] = []
    for (let parent = dirname(path); !known.has(parent); parent = dirname(parent)) {
      if (missing.has(parent) || lstatSync(parent, { throwIfNoEntry: false }) !== undefined) break
      chain.unshift(parent)
    }
    for (const parent of chain) missing.add(parent)
  }
  return [...missing]
}

function rename(ops: TaskOps, path: string, to: string): void {
  ops.call('renameat2', [AT_FDCWD, { text: path }, AT_FDCWD, { text: to }, NO_REPLACE], {
    changes: { kind: 'rename', path, to },
  })
}

function renameBack(ops: TaskOps, from: string, path: string): void {
  ops.call('renameat2', [AT_FDCWD, { text: from }, AT_FDCWD, { text: path }, NO_REPLACE], {
    changes: { kind: 'remove', path: from },
  })
}

function remove(ops: TaskOps, path: string, isFolder: boolean): void {
  const flags = isFolder ? AT_REMOVEDIR : 0
  ops.call('unlinkat', [AT_FDCWD, { text: path }, flags], { changes: { kind: 'remove', path } })
}
