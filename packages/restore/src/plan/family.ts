import type { Problem } from '../errors.ts'
import type { OpenResult, StepContext, StepDefinition } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { Terminals } from './controlling-terminal.ts'
import type { PlanNode } from './node.ts'
import type { Planner } from './planner.ts'

export interface FamilyOptions {
  /** Whether processes get the ids that the images say. */
  readonly keepPids: boolean
  /** What the helper opens before any process is there. */
  readonly inherited: readonly File[]
  readonly terminals: Terminals
}

/**
 * The making of the processes, each in these steps: its parent forks it; children that belong to the session that it
 * has inherited are forked; it leads a session of its own; the other children are forked; it takes of its inheritance
 * what is in its table, and closes the rest, so that its numbers are free.
 *
 * A child whose session has a terminal is forked after the leader has it, for there is no other way to get it. It
 * inherits a table that is in the middle of being filled: all that is closed, and it fetches what it shares.
 */
export class Family {
  readonly #planner: Planner
  readonly #options: FamilyOptions
  readonly #forked = new Map<Task, PlanNode>()
  readonly #leading = new Map<Task, PlanNode>()
  readonly #groups = new Map<Task, PlanNode>()
  readonly #helper: PlanNode
  /** By table: what of the inheritance is in it. */
  readonly #heirlooms: ReadonlyMap<DescriptorTable, readonly File[]>

  constructor(planner: Planner, tasks: readonly Task[], options: FamilyOptions) {
    this.#planner = planner
    this.#options = options
    this.#heirlooms = byTable(options.inherited)
    const definition: StepDefinition = {
      task: undefined,
      label: 'what several processes share',
      run: (context) => waitFor(options.inherited, (file) => context.need(context.nodeOf(file), 'open')),
    }
    this.#helper = planner.addStep(definition, 'process')
    for (const task of tasks) this.#addFork(task)
    for (const task of tasks) this.#addSession(task)
    for (const task of tasks) planner.setReady(task, planner.addStep(this.#inheritance(task), 'process'))
    for (const task of tasks) this.#addGroup(task)
    options.terminals.addForegrounds(
      planner,
      (task) => this.#groups.get(task) ?? this.#node(this.#leading, task),
    )
  }

  #node(map: ReadonlyMap<Task, PlanNode>, task: Task): PlanNode {
    const node = map.get(task)
    if (node === undefined) throw new Error(`process ${task.pid} is not in the plan`)
    return node
  }

  #addFork(task: Task): void {
    const { parent } = task
    const definition: StepDefinition = {
      task: parent,
      label: `process ${task.pid}`,
      run: (context) => {
        const before =
          parent === undefined
            ? this.#helper
            : this.#node(belongsAbove(task) ? this.#forked : this.#leading, parent)
        if (!context.need(before, 'restored')) return { status: 1 }
        const terminal = this.#terminalBefore(task)
        if (terminal !== undefined && !context.need(terminal, 'restored')) return { status: 1 }
        const files = task.table === parent?.table
        const fs = task.surroundings === parent?.surroundings
        context.ops.fork(task, { files, fs }, this.#options.keepPids ? task.pid : 0)
        return { status: 0 }
      },
    }
    this.#forked.set(task, this.#planner.addEarlyStep(definition, task))
  }

  /** What gives the session of the process its terminal, unless it is the one that has to get it. */
  #terminalBefore(task: Task): PlanNode | undefined {
    const terminal = this.#options.terminals.of(task)
    return terminal?.leader === task ? undefined : terminal?.node(this.#planner)
  }

  /** Whether it is forked when tables are being filled. */
  #isLate(task: Task): boolean {
    if (task.parent === undefined) return false
    return this.#terminalBefore(task) !== undefined || this.#isLate(task.parent)
  }

  #addSession(task: Task): void {
    const { pid, sid, children } = task
    const node = this.#planner.addEarlyStep({
      task,
      label: `session of process ${pid}`,
      run: (context) => {
        if (!context.need(this.#node(this.#forked, task), 'restored')) return { status: 1 }
        const waiting = waitFor(children.filter(belongsAbove), (child) =>
          context.need(this.#node(this.#forked, child), 'restored'),
        )
        if (waiting.status !== 0) return waiting
        if (sid === pid) context.ops.call('setsid', [])
        return { status: 0 }
      },
    })
    this.#leading.set(task, node)
  }

  #inheritance(task: Task): StepDefinition {
    return { task, label: `table of process ${task.pid}`, run: (context) => this.#inherit(task, context) }
  }

  #inherit(task: Task, context: StepContext): OpenResult {
    const { need, nodeOf, ops } = context
    if (!need(this.#node(this.#leading, task), 'restored')) return { status: 1 }
    const waiting = waitFor(
      task.children.filter((child) => !this.#isLate(child)),
      (child) => need(this.#node(this.#forked, child), 'restored'),
    )
    if (waiting.status !== 0) return waiting
    const { table } = task
    if (table.owner !== task) return { status: 0 }
    const heirs = this.#heirlooms.get(table) ?? []
    if (this.#isLate(task)) {
      ops.adopt([])
      for (const file of heirs) context.slotOf(file, ops)
    } else this.#planner.adopt(task, heirs, ops)
    for (const file of heirs) this.#planner.serve(nodeOf(file), table, ops)
    return { status: 0 }
  }

  /** Puts a process into its group, which has to be there. */
  #addGroup(task: Task): void {
    const { pid, pgid, sid } = task
    if (sid === pid) return
    const leader = this.#planner.situation.model.taskOf(pgid)
    if (leader?.sid !== sid) {
      this.#planner.situation.warn(groupIsOutside(task))
      return
    }
    const definition: StepDefinition = {
      task,
      label: `process ${pid} in group ${pgid}`,
      run: (context) => {
        if (leader !== task && !context.need(this.#groupOf(leader), 'restored')) return { status: 1 }
        context.ops.call('setpgid', [0, leader === task ? 0 : { pid: leader }])
        return { status: 0 }
      },
    }
    const node = this.#planner.addStep(definition, 'process')
    if (leader === task) this.#groups.set(task, node)
  }

  #groupOf(leader: Task): PlanNode {
    return this.#groups.get(leader) ?? this.#node(this.#leading, leader)
  }
}

function byTable(files: readonly File[]): Map<DescriptorTable, File[]> {
  const found = new Map<DescriptorTable, File[]>()
  for (const file of files) {
    for (const table of new Set(file.fles.map((fle) => fle.table))) {
      const list = found.get(table)
      if (list === undefined) found.set(table, [file])
      else list.push(file)
    }
  }
  return found
}

/** Whether it belongs to the session in which its parent was before that began its own. */
function belongsAbove({ pid, sid, parent }: Task): boolean {
  return parent !== undefined && sid !== pid && parent.sid === parent.pid && sid !== parent.sid
}

function groupIsOutside({ pid, pgid }: Task): Problem {
  const message = `the group ${pgid} of process ${pid} has no leader in the images: the process stays in the group of its parent`
  return { reason: 'group-outside', message, pid }
}

function waitFor<T>(items: readonly T[], isThere: (item: T) => boolean): OpenResult {
  // Each is asked, so that this waits for all of them at once.
  const missing = items.filter((item) => !isThere(item))
  return { status: missing.length === 0 ? 0 : 1 }
}
