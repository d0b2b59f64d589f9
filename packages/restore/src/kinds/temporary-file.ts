import { dirname } from 'node:path'
import { RemapType, type Ghost } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { PlanNode } from '../plan/node.ts'
import type { Slot } from '../program/op.ts'
import { AT_FDCWD, O_CLOEXEC, O_TMPFILE_BIT, onlyAtCreation } from './flags.ts'
import { fillGhost } from './ghost.ts'
import type { Situation, StepContext } from './kind.ts'

/**
 * Files that never had a name (O_TMPFILE, open(2)). They are made so again, because only then can a program still give
 * them one. What they are called in /proc comes from the number of their inode, which is another one now.
 */
export interface TemporaryFile {
  readonly ghost: Ghost
  /** The description that it was made with; others opened it anew. */
  readonly first: File
}

function temporaryFiles({ once, images, model }: Situation): Map<number, TemporaryFile> {
  return once('temporary files', () => {
    const byGhost = new Map<number, TemporaryFile>()
    const byFile = new Map<number, TemporaryFile>()
    const ghosts = images.remaps.filter(({ remapType }) => remapType === RemapType.GHOST)
    for (const { origId, remapId } of ghosts) {
      const file = model.files.get(origId)
      const ghost = images.ghosts.get(remapId)
      if (file === undefined || ghost === undefined || byGhost.has(remapId)) continue
      if (((file.entry.reg?.flags ?? 0) & O_TMPFILE_BIT) !== 0) byGhost.set(remapId, { ghost, first: file })
    }
    for (const { origId, remapId } of ghosts) {
      const temporary = byGhost.get(remapId)
      if (temporary !== undefined) byFile.set(origId, temporary)
    }
    return byFile
  })
}

export function temporaryFileOf(file: File, situation: Situation): TemporaryFile | undefined {
  return situation.images.remaps.length === 0 ? undefined : temporaryFiles(situation).get(file.id)
}

/** A descriptor of one; undefined: call again. */
export function openTemporary(
  context: StepContext & { readonly cloexec: boolean },
  file: File,
  temporary: TemporaryFile,
): Slot | undefined {
  const { need, ops, cloexec } = context
  const node = makerOf(context, temporary)
  if (!need(node, 'restored')) return undefined
  const maker = node.task?.index ?? 0
  const made = maker === ops.task ? (node.slot ?? 0) : ops.fetch(maker, node.slot ?? 0)
  if (file === temporary.first) return made
  const flags = ((file.entry.reg?.flags ?? 0) & ~onlyAtCreation) | (cloexec ? O_CLOEXEC : 0)
  return ops.open('openat', [AT_FDCWD, { path: made }, flags, 0])
}

function makerOf(context: StepContext, { ghost, first }: TemporaryFile): PlanNode {
  const entry = first.entry.reg
  const name = context.path(entry?.name ?? '')
  // Who asks first makes it: the helper, before any process is there, if it opens one of the descriptions.
  const task = context.model.tasks.find(({ index }) => index === context.ops.task)
  const cloexec = first.fles.find(({ table }) => table.owner === task)?.cloexec ?? false
  return context.shared(`temporary file ${name}`, () => ({
    task,
    label: `temporary file ${name}`,
    run: ({ ops }) => {
      const flags = (entry?.flags ?? 0) | (cloexec ? O_CLOEXEC : 0)
      const newFd = ops.open('openat', [AT_FDCWD, { text: dirname(name) }, flags, ghost.entry.mode & 0o7777])
      fillGhost(ops, ghost, newFd)
      ops.call('lseek', [{ slot: newFd }, 0, 0])
      return { status: 0, newFd }
    },
  }))
}
