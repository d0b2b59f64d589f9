import { existsSync, readFileSync } from 'node:fs'
import type { Problem } from '../errors.ts'
import { FdType, type PipeData, type PipeEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { hasCapability } from '../plan/machine.ts'
import type { PlanNode } from '../plan/node.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import {
  AT_FDCWD,
  F_SETPIPE_SZ,
  O_ACCMODE,
  O_ASYNC,
  O_CLOEXEC,
  O_LARGEFILE,
  O_RDWR,
  O_WRONLY,
} from './flags.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

/** What a new pipe holds, in bytes (pipe(7)). */
const USUAL_SIZE = 65536
const MAX_SIZE = '/proc/sys/fs/pipe-max-size'
const CAP_SYS_RESOURCE = 24n

const entryOf = (file: File): PipeEntry => file.entry.pipe as PipeEntry

/** All that the images say of one pipe. */
interface Pipe {
  /** By access mode: the description that came with the pipe, the first one of its end. */
  readonly first: Map<number, File>
  readonly data: PipeData | undefined
  /** Read end and write end, when it is made. */
  ends: [Slot, Slot] | undefined
}

/**
 * Pipes. One that is made has two descriptions; more of them, as of a pipe that was opened anew through /proc, are made
 * by opening it anew.
 */
export const pipeKind: FileKind = {
  name: 'pipe',
  types: [FdType.PIPE],
  isShareable: () => true,
  describe: (file) => `pipe ${entryOf(file).pipeId}, ${endName(file)}`,
  *check(file, situation) {
    const { data } = pipeOf(file, situation)
    if (data !== undefined) yield* checkPipeSize(data, file, situation)
  },
  open(context) {
    const { file, slot } = context
    const { fown } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const node = makerOf(context)
    if (!context.need(node, 'restored')) return { status: 1 }
    return { status: hasOwner(fown) ? 1 : 0, newFd: openEnd(context, node) }
  },
}

function pipesOf({ once, model, images }: Situation): Map<number, Pipe> {
  return once('pipes', () => {
    const data = new Map(images.pipes.map((each) => [each.entry.pipeId, each]))
    const pipes = new Map<number, Pipe>()
    for (const file of model.files.values()) {
      const { pipe: entry } = file.entry
      if (file.type !== FdType.PIPE || entry === undefined) continue
      const pipe = pipes.get(entry.pipeId) ?? {
        first: new Map(),
        data: data.get(entry.pipeId),
        ends: undefined,
      }
      pipes.set(entry.pipeId, pipe)
      const mode = entry.flags & O_ACCMODE
      // The kernel sets this in every open(2), and never when it makes a pipe.
      const isReopened = (entry.flags & O_LARGEFILE) !== 0
      if (!isReopened && !pipe.first.has(mode)) pipe.first.set(mode, file)
    }
    return pipes
  })
}

function pipeOf(file: File, situation: Situation): Pipe {
  return pipesOf(situation).get(entryOf(file).pipeId) as Pipe
}

/** What makes both ends, in the task that needs one first, and puts the data in. */
function makerOf(context: OpenContext): PlanNode {
  const { task, file } = context
  const name = `pipe ${entryOf(file).pipeId}`
  return context.shared(name, () => ({
    task,
    label: name,
    run: ({ ops }) => {
      const pipe = pipeOf(file, context)
      pipe.ends = ops.pair('pipe2', ['pair', 0])
      if (pipe.data !== undefined) fillPipe(ops, pipe.ends[1], pipe.data)
      return { status: 0 }
    },
  }))
}

/** An end as the pipe has it, or, where that is taken or is another one, opened anew. */
function openEnd(context: OpenContext, node: PlanNode): Slot {
  const { file, ops, cloexec } = context
  const { flags } = entryOf(file)
  const mode = flags & O_ACCMODE
  const { ends, first } = pipeOf(file, context)
  const end = ends?.[mode === O_WRONLY ? 1 : 0] ?? 0
  const maker = node.task?.index ?? 0
  const own = maker === ops.task ? end : ops.fetch(maker, end)
  if (mode !== O_RDWR && first.get(mode) === file) {
    setStatusFlags(ops, own, flags, 0)
    return own
  }
  const told = flags & ~(O_LARGEFILE | O_ASYNC)
  const made = ops.open('openat', [AT_FDCWD, { path: own }, told | (cloexec ? O_CLOEXEC : 0), 0])
  setStatusFlags(ops, made, flags, told)
  return made
}

/** Gives a pipe its size and what was in it. */
export function fillPipe(ops: TaskOps, slot: Slot, { entry, data }: PipeData): void {
  if (entry.size !== 0 && entry.size !== USUAL_SIZE) ops.call('fcntl', [{ slot }, F_SETPIPE_SZ, entry.size])
  if (data.length > 0) ops.fill(slot, data)
}

/** Whether a pipe can have the size that it had. */
export function* checkPipeSize({ entry }: PipeData, file: File, { once }: Situation): Iterable<Problem> {
  if (entry.size <= USUAL_SIZE) return
  const most = once(MAX_SIZE, largestPipe)
  if (entry.size <= most) return
  const message = `pipe ${entry.pipeId} held ${entry.size} bytes, and the most here is ${most}: raise ${MAX_SIZE}, or run with CAP_SYS_RESOURCE`
  yield { reason: 'pipe-size', message, image: 'pipes-data.img', file: file.id }
}

/** In bytes. */
function largestPipe(): number {
  if (hasCapability(CAP_SYS_RESOURCE) || !existsSync(MAX_SIZE)) return Infinity
  return Number(readFileSync(MAX_SIZE, 'utf8'))
}

function endName(file: File): string {
  const mode = entryOf(file).flags & O_ACCMODE
  return mode === O_RDWR ? 'both ends' : mode === O_WRONLY ? 'write end' : 'read end'
}
