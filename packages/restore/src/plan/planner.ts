import type { Problem } from '../errors.ts'
import type { FileKind, OpenContext, OpenResult, Situation, StepDefinition } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { Slot } from '../program/op.ts'
import { circleProblem, circlesOf } from './circle.ts'
import { hasReached, type Mark, type PlanNode, type Role, type Stage } from './node.ts'
import { Asking, type Face } from './asking.ts'
import type { OpList } from './op-list.ts'
import { TaskOps } from './task-ops.ts'

const F_SETFD = 2
const FD_CLOEXEC = 1

/** A node with what runs it. */
interface Entry extends PlanNode {
  role: Role
  kind: string | undefined
  takes: PlanNode | undefined
  makes: Task | undefined
  about: File | undefined
  reached: PlanNode['reached']
  slot: Slot | undefined
  readonly step: (context: OpenContext) => OpenResult
  /** What it has asked for, as numbers. */
  asked: Set<number> | undefined
  /** Whom it waits for now, by the same numbers. */
  waitsFor: Map<number, { readonly node: Entry; readonly stage: Stage }> | undefined
  /** Who waits for it, by stage. */
  waiters: Record<Stage, Entry[]> | undefined
  queued: boolean
  finished: boolean
  /** It does not wait until the table of its task is ready. */
  isEarly: boolean
}

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
  readonly late: Record<'afterOpens' | 'afterTables' | 'beforeCommit' | 'afterCommit' | 'atLast', Late[]> = {
    afterOpens: [],
    afterTables: [],
    beforeCommit: [],
    afterCommit: [],
    atLast: [],
  }
  readonly situation: Situation
  readonly #list: OpList
  readonly #kindOf: (file: File) => FileKind | undefined
  /** Who opens the files that tables hold. */
  readonly #openers: ReadonlyMap<File, Task | undefined>
  readonly #files = new Map<File, Entry>()
  /** By task: the step after which its table can be filled. */
  readonly #ready = new Map<Task, Entry>()
  readonly #shared = new Map<string, Entry>()
  readonly #queue: Entry[] = []
  #next = 0
  /** The one that is being asked. */
  #current: Entry | undefined
  readonly #face: Face
  /** By file and task: its descriptor there. */
  readonly #slots = new Map<File, Map<number, Slot>>()
  /** What the helper has opened: where it is there, and in every process that inherits it. */
  readonly #homes = new Map<File, number>()
  readonly #taken = new Set<number>()
  /** By file and table: the step by which one that another process has opened gets its numbers there. */
  readonly #takings = new Map<File, Map<DescriptorTable, Entry>>()

  constructor(
    list: OpList,
    situation: Situation,
    kindOf: (file: File) => FileKind | undefined,
    openers: ReadonlyMap<File, Task | undefined>,
  ) {
    this.#list = list
    this.#kindOf = kindOf
    this.#openers = openers
    this.situation = situation
    this.#face = this.#makeFace()
  }

  /** A step of the making of a process, which does not wait for its table. */
  addEarlyStep(definition: StepDefinition, makes?: Task): PlanNode {
    const entry = this.#addStep(definition, 'process')
    entry.makes = makes
    entry.isEarly = true
    return entry
  }

  addStep(definition: StepDefinition, role: 'process' | 'step' = 'step'): PlanNode {
    return this.#addStep(definition, role)
  }

  /** Says which step has made the table of a process ready to be filled. */
  setReady(task: Task, node: PlanNode): void {
    const entry = node as Entry
    entry.isEarly = true
    this.#ready.set(task, entry)
  }

  shared(name: string, make: () => StepDefinition): PlanNode {
    return this.#sharedEntry(name, make)
  }

  /** Names in a task what it has inherited from the helper; everything else that it has is closed. */
  adopt(task: Task, files: readonly File[], ops: TaskOps): void {
    const slots = ops.adopt(files.map((file) => this.slotIn(file, 0) ?? 0))
    for (const [place, file] of files.entries()) this.setSlot(file, task.index, slots[place] ?? 0)
  }

  /** Gives a file its numbers in a table. Its owner has it in a slot. */
  serve(node: PlanNode, table: DescriptorTable, ops: TaskOps): void {
    const { file } = node
    const slot = file === undefined ? undefined : this.slotIn(file, ops.task)
    if (file === undefined || slot === undefined) return
    const isAt = node.task === undefined ? this.#homes.get(file) : undefined
    const fles = file.fles.filter((fle) => fle.table === table)
    const there = fles.find(({ fd }) => fd === isAt)
    // Where the helper had the number that is wanted here, nothing is to be done.
    const first = there ?? fles[0]
    if (there?.cloexec) ops.call('fcntl', [there.fd, F_SETFD, FD_CLOEXEC])
    if (there === undefined && first !== undefined) ops.place(slot, first.fd, first.cloexec)
    for (const { fd, cloexec } of fles) if (fd !== first?.fd) ops.copy(slot, fd, cloexec)
  }

  /** In its opener's table, and in those that can have it now. What the helper opens is inherited. */
  #serveAll(node: Entry): void {
    const { file, task } = node
    if (file === undefined) return
    if (task === undefined) {
      this.#settle(node, file)
      return
    }
    const tables = new Set(file.fles.map(({ table }) => table))
    for (const table of tables) {
      const ops = this.opsOf(table.owner, node.index)
      if (table.owner === task) this.serve(node, table, ops)
      else this.#addTaking(node, file, table)
    }
  }

  #addTaking(node: Entry, file: File, table: DescriptorTable): void {
    const entry = this.#addStep(this.#taking(node, file, table), 'take')
    entry.takes = node
    entry.needs.push({ node, stage: 'open', before: 'open' })
    const takings = this.#takings.get(file) ?? new Map<DescriptorTable, Entry>()
    this.#takings.set(file, takings)
    takings.set(table, entry)
  }

  /** A slave gets its descriptor when its process is there. */
  #taking(node: PlanNode, file: File, table: DescriptorTable): StepDefinition {
    return {
      task: table.owner,
      label: `${node.label} for process ${table.owner.pid}`,
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
    const slots = this.#slots.get(file) ?? new Map<number, Slot>()
    this.#slots.set(file, slots)
    slots.set(task, slot)
  }

  slotIn(file: File, task: number): Slot | undefined {
    return this.#slots.get(file)?.get(task)
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
    const task = this.#openers.has(file) ? this.#openers.get(file) : asker
    const entry = this.#add(task, kind.describe(file, this.situation), file, (context) => kind.open(context))
    entry.role = 'file'
    entry.kind = kind.name
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
    const stuck = this.nodes.filter(({ finished }) => !finished)
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
    entry.queued = false
    return entry
  }

  #ask(entry: Entry): void {
    if (entry.finished) return
    if (entry.task !== undefined && !entry.isEarly && !this.#isReady(entry, entry.task)) return
    const begun = this.#list.ops.length
    this.#current = entry
    const { status, newFd, problem } = entry.step(this.#contextOf(entry))
    this.#current = undefined
    if (newFd !== undefined) this.#take(entry, newFd)
    if (status === -1) this.problems.push(problem ?? failed(entry))
    else this.#note(entry, { isOver: status === 0, isOpen: newFd !== undefined, begun })
  }

  /** A descriptor is there. */
  #take(entry: Entry, slot: Slot): void {
    entry.slot = slot
    if (entry.file === undefined) return
    this.setSlot(entry.file, entry.task?.index ?? 0, slot)
    this.#serveAll(entry)
  }

  #note(entry: Entry, { isOver, isOpen, begun }: { isOver: boolean; isOpen: boolean; begun: number }): void {
    if (isOver) {
      entry.finished = true
      this.#reach(entry, 'restored', begun)
      return
    }
    if (isOpen) this.#reach(entry, 'open', begun)
    if (entry.waitsFor !== undefined && entry.waitsFor.size > 0) return
    // It has moved on itself, or it never will.
    if (!isOpen && this.#list.ops.length === begun) this.problems.push(stalled(entry))
    else this.#enqueue(entry)
  }

  #reach(entry: Entry, stage: Stage, begun: number): void {
    entry.reached = stage
    if (entry.waitsFor !== undefined && entry.waitsFor.size > 0) noteMissed(entry, stage)
    const marks = this.#marksFrom(begun, entry.index)
    entry.marks[stage].push(...(stage === 'restored' ? entry.marks.open : []), ...marks)
    if (stage === 'restored' && entry.marks.open.length === 0) entry.marks.open.push(...marks)
    this.#wake(entry, 'open')
    if (stage === 'restored') this.#wake(entry, 'restored')
  }

  /** The last operation of each task among those that were added for a node. */
  #marksFrom(begun: number, unit: number): Mark[] {
    const last = new Map<number, number>()
    for (let op = begun; op < this.#list.ops.length; op++) {
      const draft = this.#list.ops[op]
      if (draft?.unit === unit) last.set(draft.task, op)
    }
    return [...last].map(([task, op]) => ({ task, op }))
  }

  #wake(entry: Entry, stage: Stage): void {
    if (entry.waiters === undefined) return
    const key = entry.index * 2 + (stage === 'open' ? 0 : 1)
    for (const waiter of entry.waiters[stage].splice(0)) {
      waiter.waitsFor?.delete(key)
      // It has asked for all that it knew of.
      if (waiter.waitsFor?.size === 0) this.#enqueue(waiter)
    }
  }

  #enqueue(entry: Entry): void {
    if (entry.queued || entry.finished) return
    entry.queued = true
    this.#queue.push(entry)
  }

  #addStep(definition: StepDefinition, role: Role): Entry {
    const { task, label, about } = definition
    const entry = this.#add(task, label, undefined, (context) => definition.run(context))
    entry.role = role
    entry.about = about
    return entry
  }

  #add(task: Task | undefined, label: string, file: File | undefined, step: Entry['step']): Entry {
    const entry: Entry = {
      index: this.nodes.length,
      role: 'step',
      task,
      file,
      kind: undefined,
      takes: undefined,
      makes: undefined,
      about: file,
      label,
      reached: 'none',
      slot: undefined,
      marks: { open: [], restored: [] },
      needs: [],
      step,
      asked: undefined,
      waitsFor: undefined,
      waiters: undefined,
      queued: false,
      finished: false,
      isEarly: false,
    }
    this.nodes.push(entry)
    this.#enqueue(entry)
    return entry
  }

  #isReady(entry: Entry, task: Task): boolean {
    const ready = this.#readyEntry(task)
    // No edge of the graph for what is so for all of them.
    return hasReached(ready, 'restored') || this.#need(entry, ready, 'restored')
  }

  #need(entry: Entry, node: Entry, stage: Stage): boolean {
    const key = node.index * 2 + (stage === 'open' ? 0 : 1)
    entry.asked ??= new Set()
    if (!entry.asked.has(key)) {
      entry.asked.add(key)
      entry.needs.push({ node, stage, before: entry.reached === 'none' ? 'open' : 'restored' })
    }
    if (hasReached(node, stage)) return true
    entry.waitsFor ??= new Map()
    if (!entry.waitsFor.has(key)) {
      entry.waitsFor.set(key, { node, stage })
      node.waiters ??= { open: [], restored: [] }
      node.waiters[stage].push(entry)
    }
    return false
  }

  #contextOf(entry: Entry): OpenContext {
    const { file, task, slot } = entry
    const cloexec = file?.fles.find(({ table }) => table.owner === task)?.cloexec ?? false
    // A step that is no file's has none, and does not look.
    return new Asking(this.#face, {
      file: file as File,
      task,
      slot,
      cloexec,
      ops: this.opsOf(task, entry.index),
    })
  }

  /** What is the same in every context. It is about the node that is being asked. */
  #makeFace(): Face {
    const late =
      (when: keyof Planner['late']) =>
      (task: Task | undefined, add: (ops: TaskOps) => void): void => {
        this.late[when].push({ task, unit: this.#current?.index ?? 0, add })
      }
    return {
      ...this.situation,
      opsOf: (task) => this.opsOf(task, this.#current?.index ?? 0),
      need: (node, stage) => {
        const entry = this.#current
        if (entry === undefined || !this.#need(entry, node as Entry, stage)) return false
        const taking = this.#takingOf(node, entry)
        // It may be used by the number that it has in this table.
        if (taking !== undefined && !this.#need(entry, taking, 'restored')) return false
        this.opsOf(entry.task, entry.index).after(node.marks[stage])
        return true
      },
      nodeOf: (file) => this.nodeOf(file, this.#current?.task),
      readyOf: (task) => this.#readyEntry(task),
      shared: (name, make) => this.#sharedEntry(name, make),
      slotOf: (file, ops) => this.#slotOf(file, ops),
      afterOpens: late('afterOpens'),
      afterTables: late('afterTables'),
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

/** What a node has asked for and gone on without comes later, or was not waited for at all. */
function noteMissed({ needs }: Entry, stage: Stage): void {
  const missed = needs.filter((need) => !hasReached(need.node, need.stage))
  if (stage === 'open') for (const need of missed) need.before = 'restored'
  else needs.splice(0, needs.length, ...needs.filter((need) => !missed.includes(need)))
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
