import type { Problem } from '../errors.ts'
import type { OpenResult, StepContext, StepDefinition } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { ControllingTerminals } from './controlling-terminal.ts'
import type { Forkers } from './forkers.ts'
import type { PlanNode } from './node.ts'
import type { Planner } from './planner.ts'
import type { Sharing } from './task-ops.ts'

export interface FamilyOptions {
  /** Whether processes get the ids that the images say. */
  readonly keepPids: boolean
  /** What the helper opens before any process is there. */
  readonly inherited: readonly File[]
  readonly terminals: ControllingTerminals
  readonly forkers: Forkers
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
  /** By process: the session that it has to be forked in; none for a leader that nobody asks it of. */
  readonly #birthSessions = new Map<Task, number>()
  /** Those that are forked when tables are being filled. */
  readonly #late = new Set<Task>()
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
    // Who is forked comes behind who forks.
    for (const task of tasks.toReversed()) this.#noteBirthSession(task)
    for (const task of tasks) this.#noteLate(task)
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
    const forker = this.#options.forkers.of(task)
    const definition: StepDefinition = {
      task: forker,
      label: `process ${task.pid}`,
      run: (context) => {
        const before =
          forker === undefined
            ? this.#helper
            : this.#node(this.#forkedAbove(forker).includes(task) ? this.#forked : this.#leading, forker)
        if (!context.need(before, 'restored')) return { status: 1 }
        const terminal = this.#terminalBefore(task)
        if (terminal !== undefined && !context.need(terminal, 'restored')) return { status: 1 }
        context.ops.fork(task, this.#sharing(task, forker), this.#options.keepPids ? task.pid : 0)
        return { status: 0 }
      },
    }
    this.#forked.set(task, this.#planner.addEarlyStep(definition, task))
  }

  /** A leader may have to be in another session before, for those that it has forked then. */
  #noteBirthSession(task: Task): void {
    const { pid, sid } = task
    const above = this.#forkedAbove(task)[0]
    const birth = sid === pid ? above && this.#birthSessions.get(above) : sid
    if (birth !== undefined) this.#birthSessions.set(task, birth)
  }

  #noteLate(task: Task): void {
    const forker = this.#options.forkers.of(task)
    if (forker === undefined) return
    if (this.#terminalBefore(task) !== undefined || this.#late.has(forker)) this.#late.add(task)
  }

  /** Whom a leader forks before it leads its session, for they belong to the one before. */
  #forkedAbove(task: Task): readonly Task[] {
    if (task.sid !== task.pid) return []
    return this.#options.forkers.forkedBy(task).filter((child) => {
      const birth = this.#birthSessions.get(child)
      return birth !== undefined && birth !== task.sid
    })
  }

  #sharing(task: Task, forker: Task | undefined): Sharing {
    return {
      files: task.table === forker?.table,
      fs: task.surroundings === forker?.surroundings,
      sibling: forker !== task.parent,
    }
  }

  /** What gives the session in which a process is forked its terminal. */
  #terminalBefore(task: Task): PlanNode | undefined {
    const birth = this.#birthSessions.get(task)
    return birth === undefined ? undefined : this.#options.terminals.of(birth)?.node(this.#planner)
  }

  #addSession(task: Task): void {
    const { pid, sid } = task
    const above = this.#forkedAbove(task)
    const node = this.#planner.addEarlyStep({
      task,
      label: `session of process ${pid}`,
      run: (context) => {
        if (!context.need(this.#node(this.#forked, task), 'restored')) return { status: 1 }
        const waiting = waitFor(above, (child) => context.need(this.#node(this.#forked, child), 'restored'))
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
    const { table } = task
    if (table.owner !== task) return { status: 0 }
    // Whoever is forked by one that shares the table inherits from it, too.
    const heirsOf = table.sharers.flatMap((sharer) => this.#options.forkers.forkedBy(sharer))
    const waiting = waitFor(
      heirsOf.filter((child) => !this.#late.has(child)),
      (child) => need(this.#node(this.#forked, child), 'restored'),
    )
    if (waiting.status !== 0) return waiting
    const heirs = this.#heirlooms.get(table) ?? []
    if (!this.#late.has(task)) this.#planner.inherit(task, heirs, ops)
    else {
      ops.adopt([])
      for (const file of heirs) context.slotOf(file, ops)
      for (const file of heirs) this.#planner.serve(nodeOf(file), table, ops)
    }
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
    let last: DescriptorTable | undefined
    // Those of one table are together.
    for (const { table } of file.fles) {
      if (table === last) continue
      last = table
      const list = found.get(table)
      if (list === undefined) found.set(table, [file])
      else list.push(file)
    }
  }
  return found
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
