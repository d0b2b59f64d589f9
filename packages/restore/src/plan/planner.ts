import type { Problem } from '../errors.ts'
import type { FileKind, OpenContext, Situation, StepDefinition } from '../kinds/kind.ts'
import { flesIn, type File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { Slot } from '../program/op.ts'
import { circleProblem, circlesOf } from './circle.ts'
import { hasReached, type Mark, type PlanNode, type Role, type Stage } from './node.ts'
import { Asking, type Face } from './asking.ts'
import { FileEntry, NO_MARKS, StepEntry, type Entry, type StepMore } from './entry.ts'
import type { Opener } from './openers.ts'
import type { OpDraft, OpList } from './op-list.ts'
import { TaskOps } from './task-ops.ts'

const F_SETFD = 2
const FD_CLOEXEC = 1

/** What is added to a task's program when the tables are made, or after the commit. */
interface Late {
  readonly task: Task | undefined
  readonly unit: number
  readonly add: (ops: TaskOps) => void
}

/**
 * The loop of CRIU's restore, run before anything is restored: every file is asked to open until it says 0, and waits
 * meanwhile for the files that it needs. What a file does when it is asked is not done but written down; so the order
 * in which the questions end well is an order in which the operations can run.
 */
export class Planner {
  readonly nodes: Entry[] = []
  readonly problems: Problem[] = []
  /** The members of each circle. */
  readonly circles: (readonly PlanNode[])[] = []
  readonly late: Record<'afterOpens' | 'beforeCommit' | 'afterCommit' | 'atLast', Late[]> = {
    afterOpens: [],
    beforeCommit: [],
    afterCommit: [],
    atLast: [],
  }
  readonly situation: Situation
  readonly #list: OpList
  readonly #kindOf: (file: File) => FileKind | undefined
  /** Who opens the files that tables hold. */
  readonly #openers: ReadonlyMap<File, Opener>
  readonly #files = new Map<File, Entry>()
  /** By task: the step after which its table can be filled. */
  readonly #ready = new Map<Task, Entry>()
  readonly #shared = new Map<string, Entry>()
  readonly #queue: Entry[] = []
  #next = 0
  /** The one that is being asked. */
  #current: Entry | undefined
  readonly #face: Face
  /** By task and file: its descriptor there, where another task has opened it. */
  readonly #slots: Map<File, Slot>[] = []
  /** What the helper has opened: where it is there, and in every process that inherits it. */
  readonly #homes = new Map<File, number>()
  readonly #taken = new Set<number>()
  /** By file and table: the step by which one that another process has opened gets its numbers there. */
  readonly #takings = new Map<File, Map<DescriptorTable, Entry>>()

  constructor(
    list: OpList,
    situation: Situation,
    kindOf: (file: File) => FileKind | undefined,
    openers: ReadonlyMap<File, Opener>,
  ) {
    this.#list = list
    this.#kindOf = kindOf
    this.#openers = openers
    this.situation = situation
    this.#face = this.#makeFace()
  }

  /** A step of the making of a process, which does not wait for its table. */
  addEarlyStep(definition: StepDefinition, makes?: Task): PlanNode {
    const entry = this.#addStep(definition, 'process', { makes })
    entry.isEarly = true
    return entry
  }

  addStep(definition: StepDefinition, role: 'process' | 'step' = 'step'): PlanNode {
    return this.#addStep(definition, role)
  }

  /** Says which step has made the table of a process ready to be filled. */
  setReady(task: Task, node: PlanNode): void {
    const entry = this.#entryOf(node)
    entry.isEarly = true
    this.#ready.set(task, entry)
  }

  shared(name: string, make: () => StepDefinition): PlanNode {
    return this.#sharedEntry(name, make)
  }

  /** Gives a process what it has inherited from the helper; everything else that it has is closed. */
  inherit(task: Task, files: readonly File[], ops: TaskOps): void {
    const slots = ops.adopt(files.map((file) => this.slotIn(file, 0) ?? 0))
    const known = (this.#slots[task.index] ??= new Map<File, Slot>())
    const elsewhere: File[] = []
    let place = 0
    for (const file of files) {
      known.set(file, slots[place++] ?? 0)
      const fles = flesIn(file, task.table)
      const isThere = fles.length === 1 && fles[0]?.fd === this.#homes.get(file) && !fles[0]?.cloexec
      if (!isThere) elsewhere.push(file)
    }
    for (const file of elsewhere) this.#moveAside(file, task, ops)
    for (const file of elsewhere) this.serve({ file }, task.table, ops, this.#homes.get(file))
  }

  /** Frees the number at which an heirloom came, where the table wants it elsewhere: another one may be wanted there. */
  #moveAside(file: File, task: Task, ops: TaskOps): void {
    const home = this.#homes.get(file)
    const slot = this.slotIn(file, task.index)
    const isWanted = flesIn(file, task.table).some(({ fd }) => fd === home)
    if (home === undefined || slot === undefined || isWanted) return
    this.setSlot(file, task.index, ops.moveAside(slot))
  }

  /** Gives a file its numbers in a table. Its owner has it in a slot; it may be at a number already. */
  serve({ file }: Pick<PlanNode, 'file'>, table: DescriptorTable, ops: TaskOps, isAt?: number): void {
    const slot = file === undefined ? undefined : this.slotIn(file, ops.task)
    if (file === undefined || slot === undefined) return
    const fles = flesIn(file, table)
    const there = isAt === undefined ? undefined : fles.find(({ fd }) => fd === isAt)
    // Where it is at a number that is wanted here, nothing is to be done.
    const first = there ?? fles[0]
    if (there?.cloexec) ops.call('fcntl', [there.fd, F_SETFD, FD_CLOEXEC])
    if (there === undefined && first !== undefined) ops.place(slot, first.fd, first.cloexec)
    if (fles.length > 1) for (const { fd, cloexec } of fles) if (fd !== first?.fd) ops.copy(slot, fd, cloexec)
  }

  /** In its opener's table, and in those that can have it now. What the helper opens is inherited. */
  #serveAll(node: Entry): void {
    const { file, task } = node
    if (file === undefined) return
    if (task === undefined) {
      this.#settle(node, file)
      return
    }
    let last: DescriptorTable | undefined
    // Those of one table are together.
    for (const { table } of file.fles) {
      if (table === last) continue
      last = table
      if (table.owner === task) this.serve(node, table, this.opsOf(task, node.index))
      else this.#addTaking(node, file, table)
    }
  }

  #addTaking(node: Entry, file: File, table: DescriptorTable): void {
    const entry = this.#addStep(this.#taking(node, file, table), 'take', { takes: node })
    entry.note(node, 'open')
    const takings = this.#takings.get(file) ?? new Map<DescriptorTable, Entry>()
    this.#takings.set(file, takings)
    takings.set(table, entry)
  }

  /** A slave gets its descriptor when its process is there. */
  #taking(node: PlanNode, file: File, table: DescriptorTable): StepDefinition {
    return {
      task: table.owner,
      get label() {
        return `${node.label} for process ${table.owner.pid}`
      },
      run: ({ ops, slotOf }) => {
        slotOf(file, ops)
        this.serve(node, table, ops)
        return { status: 0 }
      },
    }
  }

  /** In the helper: where most of the tables want it, if nothing else is there. */
  #settle(node: Entry, file: File): void {
    const wanted = file.fles.find(({ fd }) => !this.#taken.has(fd))
    if (wanted === undefined) return
    this.#taken.add(wanted.fd)
    this.#homes.set(file, wanted.fd)
    this.opsOf(undefined, node.index).place(node.slot ?? 0, wanted.fd, false)
  }

  setSlot(file: File, task: number, slot: Slot): void {
    const slots = (this.#slots[task] ??= new Map<File, Slot>())
    slots.set(file, slot)
  }

  slotIn(file: File, task: number): Slot | undefined {
    const entry = this.#files.get(file)
    if (entry !== undefined && (entry.task?.index ?? 0) === task) return entry.slot
    return this.#slots[task]?.get(file)
  }

  opsOf(task: Task | undefined, unit: number): TaskOps {
    return new TaskOps(this.#list, task?.index ?? 0, unit)
  }

  /** The node of a file. One that is in no table is opened by the task that asks for it first. */
  nodeOf(file: File, asker?: Task): PlanNode {
    const known = this.#files.get(file)
    if (known !== undefined) return known
    const kind = this.#kindOf(file)
    if (kind === undefined) throw new Error(`file ${file.id} is of no kind`)
    const opener = this.#openers.get(file)
    const task = opener === undefined ? asker : opener.task
    const entry = new FileEntry(this.nodes.length, task, file, kind, this.situation)
    this.#add(entry)
    this.#files.set(file, entry)
    return entry
  }

  /** Processes wait for each other: all of them, unless told. */
  meet(tasks: readonly Task[] = this.situation.model.tasks): void {
    this.#list.meet(
      tasks.map(({ index }) => index),
      0,
    )
  }

  /** Asks until nobody has anything left to do, or nobody can. False in the second case; `problems` say why. */
  run(): boolean {
    this.advance()
    if (this.problems.length > 0) return false
    const stuck = this.nodes.filter(({ isFinished }) => !isFinished)
    if (stuck.length > 0) {
      const circles = circlesOf(stuck)
      this.circles.push(...circles)
      this.problems.push(...circles.map(circleProblem))
    }
    return stuck.length === 0
  }

  /** Asks as long as anybody can go on; some may be waiting for what is added later. */
  advance(): void {
    for (let entry = this.#nextInQueue(); entry !== undefined; entry = this.#nextInQueue()) {
      this.#ask(entry)
      if (this.problems.length > 0) return
    }
  }

  #nextInQueue(): Entry | undefined {
    const entry = this.#queue[this.#next]
    if (entry === undefined) return undefined
    this.#next++
    entry.isQueued = false
    return entry
  }

  #ask(entry: Entry): void {
    if (entry.isFinished) return
    if (entry.task !== undefined && !entry.isEarly && !this.#isReady(entry, entry.task)) return
    const begun = this.#list.ops.length
    this.#current = entry
    const { status, newFd, problem } = entry.ask(this.#contextOf(entry))
    this.#current = undefined
    if (newFd !== undefined) this.#take(entry, newFd)
    if (status === -1) this.problems.push(problem ?? failed(entry))
    else if (status === 0) {
      entry.isFinished = true
      this.#reach(entry, 'restored', begun)
    } else this.#askAgain(entry, newFd !== undefined, begun)
  }

  /** A descriptor is there. */
  #take(entry: Entry, slot: Slot): void {
    entry.slot = slot
    if (entry.file !== undefined) this.#serveAll(entry)
  }

  #askAgain(entry: Entry, isOpen: boolean, begun: number): void {
    if (isOpen) this.#reach(entry, 'open', begun)
    if (entry.pending > 0) return
    // It has moved on itself, or it never will.
    if (!isOpen && this.#list.ops.length === begun) this.problems.push(stalled(entry))
    else this.#enqueue(entry)
  }

  #reach(entry: Entry, stage: Stage, begun: number): void {
    const own = this.#marksFrom(begun, entry.index)
    // One that does nothing itself stands for what it has waited for.
    const isIdle = stage === 'restored' && own.length === 0 && entry.marksAt('open').length === 0
    const marks = isIdle ? lastOfEach(entry.needs.flatMap((need) => need.node.marksAt(need.stage))) : own
    for (const wait of entry.reach(stage, marks)) {
      wait.isPending = false
      // It has asked for all that it knew of.
      if (--wait.asker.pending === 0) this.#enqueue(wait.asker)
    }
  }

  /** The last operation of each task among those that were added for a node. */
  #marksFrom(begun: number, unit: number): readonly Mark[] {
    const { ops } = this.#list
    let only: Mark | undefined
    let others: Map<number, Mark> | undefined
    for (let op = ops.length - 1; op >= begun; op--) {
      const { task, unit: of } = ops[op] as OpDraft
      if (of !== unit || task === only?.task) continue
      if (only === undefined) only = { task, op }
      else {
        others ??= new Map<number, Mark>()
        if (!others.has(task)) others.set(task, { task, op })
      }
    }
    if (only === undefined) return NO_MARKS
    return others === undefined ? [only] : [only, ...others.values()]
  }

  #enqueue(entry: Entry): void {
    if (entry.isQueued || entry.isFinished) return
    entry.isQueued = true
    this.#queue.push(entry)
  }

  #addStep(definition: StepDefinition, role: Role, more?: StepMore): Entry {
    const entry = new StepEntry(this.nodes.length, role, definition, more)
    this.#add(entry)
    return entry
  }

  #add(entry: Entry): void {
    this.nodes.push(entry)
    this.#enqueue(entry)
  }

  #isReady(entry: Entry, task: Task): boolean {
    const ready = this.#readyEntry(task)
    // No edge of the graph for what is so for all of them.
    return hasReached(ready, 'restored') || entry.need(ready, 'restored')
  }

  #contextOf(entry: Entry): OpenContext {
    const { file, task } = entry
    const cloexec =
      file !== undefined && task !== undefined && (flesIn(file, task.table)[0]?.cloexec ?? false)
    return new Asking(this.#face, entry, cloexec, this.opsOf(task, entry.index))
  }

  /** What is the same in every context. It is about the node that is being asked. */
  #makeFace(): Face {
    const late =
      (when: keyof Planner['late']) =>
      (task: Task | undefined, add: (ops: TaskOps) => void): void => {
        const { file, index = 0 } = this.#current ?? {}
        // One that no table has is in its queue by then, and its descriptor is closed with the rest.
        const isInFlight = file?.fles.length === 0
        this.late[isInFlight ? 'afterOpens' : when].push({ task, unit: index, add })
      }
    return {
      ...this.situation,
      opsOf: (task) => this.opsOf(task, this.#current?.index ?? 0),
      need: (node, stage) => {
        const entry = this.#current
        if (entry === undefined) return false
        const needed = this.#entryOf(node)
        if (!entry.need(needed, stage)) return false
        const taking = this.#takingOf(node, entry)
        // It may be used by the number that it has in this table.
        if (taking !== undefined && !entry.need(taking, 'restored')) return false
        this.opsOf(entry.task, entry.index).after(needed.marksAt(stage))
        return true
      },
      nodeOf: (file) => this.nodeOf(file, this.#current?.task),
      readyOf: (task) => this.#readyEntry(task),
      shared: (name, make) => this.#sharedEntry(name, make),
      slotOf: (file, ops) => this.#slotOf(file, ops),
      afterOpens: late('afterOpens'),
      beforeCommit: late('beforeCommit'),
      afterCommit: late('afterCommit'),
      atLast: late('atLast'),
    }
  }

  /** What gives a file that another process has opened its numbers in the table of the one that asks. */
  #takingOf({ file }: PlanNode, { task }: Entry): Entry | undefined {
    return file === undefined || task === undefined ? undefined : this.#takings.get(file)?.get(task.table)
  }

  #sharedEntry(name: string, make: () => StepDefinition): Entry {
    const known = this.#shared.get(name)
    if (known !== undefined) return known
    const made = this.#addStep(make(), 'step')
    this.#shared.set(name, made)
    return made
  }

  #slotOf(file: File, ops: TaskOps): Slot {
    const own = this.slotIn(file, ops.task)
    if (own !== undefined) return own
    const node = this.#fileEntry(file)
    const opener = node.task?.index ?? 0
    const there = this.slotIn(file, opener)
    if (there === undefined) throw new Error(`${node.label} has no descriptor yet: need() it first`)
    const fetched = ops.fetch(opener, there)
    this.setSlot(file, ops.task, fetched)
    return fetched
  }

  #entryOf(node: PlanNode): Entry {
    const entry = this.nodes[node.index]
    if (entry === undefined) throw new Error(`${node.label} is not in the plan`)
    return entry
  }

  #fileEntry(file: File): Entry {
    const entry = this.#files.get(file)
    if (entry === undefined) throw new Error(`file ${file.id} is not in the plan`)
    return entry
  }

  #readyEntry(task: Task): Entry {
    const entry = this.#ready.get(task)
    if (entry === undefined) throw new Error(`process ${task.pid} is not in the plan`)
    return entry
  }
}

/** The last operation of each task. */
function lastOfEach(marks: readonly Mark[]): Mark[] {
  const last = new Map<number, number>()
  for (const { task, op } of marks) last.set(task, Math.max(op, last.get(task) ?? op))
  return [...last].map(([task, op]) => ({ task, op }))
}

const stalled = (entry: Entry): Problem => ({
  reason: 'stalled',
  message: `${entry.label} asks to be called again, but waits for nothing: its open() has to need() what it waits for`,
  ...(entry.file === undefined ? {} : { file: entry.file.id }),
})

const failed = (entry: Entry): Problem => ({
  reason: 'refused',
  message: `${entry.label} cannot be opened, and its kind does not say why`,
  ...(entry.file === undefined ? {} : { file: entry.file.id }),
})
