import { FdType, type FifoEntry, type PipeData } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import type { PlanNode } from '../plan/node.ts'
import { O_ACCMODE, O_ASYNC, O_NONBLOCK, O_RDWR } from './flags.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'
import { checkPipeSize, fillPipe } from './pipe.ts'
import { checkNamed, namedEntry, openNamed } from './named.ts'

const entryOf = (file: File): FifoEntry => file.entry.fifo as FifoEntry

/** Named pipes: their flags and their name are those of another file of the images. */
export const fifoKind: FileKind = {
  name: 'FIFO',
  types: [FdType.FIFO],
  isShareable: () => true,
  describe: (file, situation) => `FIFO ${nameOf(file, situation)}`,
  *check(file, situation) {
    const named = namedOf(file, situation)
    if (named === undefined) yield nameless(file)
    else yield* checkNamed(named, situation)
    const data = dataOf(file, situation)
    if (data !== undefined) yield* checkPipeSize(data, file, situation)
  },
  open(context) {
    const { file, slot, need } = context
    const named = namedOf(file, context)
    const fown = named?.entry.reg?.fown
    if (slot !== undefined) return restoreOwner(context, fown)
    if (named === undefined) return { status: -1, problem: nameless(file) }
    const keeper = keeperOf(context, named)
    if (!need(keeper, 'restored')) return { status: 1 }
    const { flags } = namedEntry(named)
    const newFd = openNamed(context, named, flags & ~O_ASYNC)
    if (newFd === undefined) return { status: 1 }
    setStatusFlags(context.ops, newFd, flags, flags & ~O_ASYNC)
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

/**
 * An open of both ends, until all processes have theirs: no end has to wait for the other, and what was in the FIFO
 * stays in it.
 */
function keeperOf(context: OpenContext, named: File): PlanNode {
  const { file, task } = context
  const name = `FIFO ${entryOf(file).pipeId}`
  return context.shared(name, () => ({
    task,
    label: name,
    run: (step) => {
      const slot = openNamed({ ...step, cloexec: true }, named, O_RDWR | O_NONBLOCK)
      if (slot === undefined) return { status: 1 }
      const data = dataOf(file, step)
      if (data !== undefined) fillPipe(step.ops, slot, data)
      return { status: 0, newFd: slot }
    },
  }))
}

function namedOf(file: File, { model }: Situation): File | undefined {
  const named = model.files.get(entryOf(file).regfId)
  return named?.entry.reg === undefined ? undefined : named
}

function nameOf(file: File, situation: Situation): string {
  const named = namedOf(file, situation)?.entry.reg
  const end = ['read end', 'write end', 'both ends'][(named?.flags ?? 0) & O_ACCMODE] ?? ''
  return `${named?.name ?? String(entryOf(file).pipeId)}, ${end}`
}

function dataOf(file: File, { once, images }: Situation): PipeData | undefined {
  const byId = once('FIFO data', () => new Map(images.fifos.map((each) => [each.entry.pipeId, each])))
  return byId.get(entryOf(file).pipeId)
}

function nameless(file: File): Problem {
  const message = `FIFO ${entryOf(file).pipeId} has its name from file ${entryOf(file).regfId}, which is not in the images`
  return { reason: 'no-file', message, image: 'files.img', file: file.id }
}
