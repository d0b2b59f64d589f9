import type { StepContext } from '../kinds/kind.ts'
import type { Surroundings, Task } from '../model/task.ts'
import type { PlanNode } from './node.ts'
import type { Planner } from './planner.ts'
import type { TaskOps } from './task-ops.ts'

/** What a process becomes when its table is there. */
export interface Command {
  readonly path: string
  /** With the name of the program, argv[0]. */
  readonly argv: readonly string[]
  /** `NAME=value`; default: that of this process. */
  readonly environment?: readonly string[]
}

const F_SETFD = 2

/**
 * The end of every program, in this order: where paths begin; all have opened everything; what is not in the table is
 * closed; what a close would undo, or what would see all this; the commit; what cannot be taken back; the command.
 */
export function addEnding(planner: Planner, commands: ReadonlyMap<number, Command>): void {
  const { model } = planner.situation
  const places = new Map<Surroundings, PlanNode>()
  for (const surroundings of new Set(model.tasks.map((task) => task.surroundings))) {
    const { sharers } = surroundings.owner.table
    // Of those that share a table, nobody else makes a descriptor now: it could be given a number that is wanted.
    if (sharers.length > 1) planner.meet(sharers)
    places.set(surroundings, addPlace(planner, surroundings))
    if (!planner.run()) return
  }
  planner.meet()
  addLate(planner, planner.late.afterOpens)
  for (const task of model.tasks) {
    const unit = places.get(task.surroundings)?.index ?? 0
    const ops = planner.opsOf(task, unit)
    if (task.table.owner === task) ops.sweep()
  }
  if (planner.late.beforeCommit.length > 0) planner.meet()
  addLate(planner, planner.late.beforeCommit)
  for (const task of [undefined, ...model.tasks]) planner.opsOf(task, 0).barrier()
  addLate(planner, planner.late.afterCommit)
  if (planner.late.atLast.length > 0) planner.meet()
  addLate(planner, planner.late.atLast)
  for (const task of model.tasks) {
    const command = commands.get(task.pid)
    if (command !== undefined) become(task, command, planner.opsOf(task, 0))
  }
}

function addLate(planner: Planner, late: Planner['late'][keyof Planner['late']]): void {
  for (const { task, unit, add } of late) add(planner.opsOf(task, unit))
}

function addPlace(planner: Planner, surroundings: Surroundings): PlanNode {
  const { owner } = surroundings
  return planner.addStep({
    task: owner,
    label: `working directory, root and umask of process ${owner.pid}`,
    run: (context) => {
      const { root, workingDirectory } = surroundings
      const files = [root, workingDirectory].filter((file) => file !== undefined)
      const missing = files.filter((file) => !context.need(context.nodeOf(file), 'restored'))
      if (missing.length > 0) return { status: 1 }
      enter(context, surroundings)
      return { status: 0 }
    },
  })
}

function enter({ ops, slotOf }: StepContext, { root, workingDirectory, umask }: Surroundings): void {
  if (root !== undefined && root.entry.reg?.name !== '/') {
    ops.call('fchdir', [{ slot: slotOf(root, ops) }])
    ops.call('chroot', [{ text: '.' }])
  }
  if (workingDirectory !== undefined) ops.call('fchdir', [{ slot: slotOf(workingDirectory, ops) }])
  if (umask !== undefined) ops.call('umask', [umask])
}

/** A program keeps its descriptors, and learns which of them it had wanted to be closed. */
function become({ table }: Task, { path, argv, environment }: Command, ops: TaskOps): void {
  const closing = table.fles.filter(({ cloexec }) => cloexec).map(({ fd }) => fd)
  for (const fd of closing) ops.call('fcntl', [fd, F_SETFD, 0])
  const inherited =
    environment ?? Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`)
  ops.exec(path, argv, [...inherited, `XRESTORE_CLOEXEC=${closing.join(',')}`])
}
