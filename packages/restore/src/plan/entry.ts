import type { FileKind, OpenContext, OpenResult, Situation, StepDefinition } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { Task } from '../model/task.ts'
import type { Slot } from '../program/op.ts'
import { hasReached, type Mark, type Need, type PlanNode, type Role, type Stage } from './node.ts'

/** What a node has asked for, and whether it waits for that now. */
export class Wait implements Need {
  readonly asker: Entry
  readonly node: Entry
  readonly stage: Stage
  before: Stage
  isPending = false

  constructor(asker: Entry, node: Entry, stage: Stage) {
    this.asker = asker
    this.node = node
    this.stage = stage
    this.before = asker.reached === 'none' ? 'open' : 'restored'
  }
}

export const NO_MARKS: readonly Mark[] = []
const NO_WAITS: readonly Wait[] = []
/** Up to here a list is faster to search than a map. */
const FEW = 8

/** A node while it is planned. There is one for every file: what most of them do not need is made when it is needed. */
export abstract class Entry implements PlanNode {
  readonly index: number
  readonly role: Role
  readonly task: Task | undefined
  reached: PlanNode['reached'] = 'none'
  slot: Slot | undefined = undefined
  isQueued = false
  isFinished = false
  /** It does not wait until the table of its task is ready. */
  isEarly = false
  /** How many of its needs it waits for. */
  pending = 0
  #needs: Wait[] | undefined = undefined
  /** Of many needs, by node and stage. */
  #index: Map<number, Wait> | undefined = undefined
  /** Who waits for it to be open, and to be restored. */
  #untilOpen: Wait[] | undefined = undefined
  #untilRestored: Wait[] | undefined = undefined
  #open = NO_MARKS
  #restored = NO_MARKS

  constructor(index: number, role: Role, task: Task | undefined) {
    this.index = index
    this.role = role
    this.task = task
  }

  abstract readonly file: File | undefined
  abstract readonly about: File | undefined
  abstract readonly kind: string | undefined
  abstract readonly takes: PlanNode | undefined
  abstract readonly makes: Task | undefined
  abstract readonly label: string
  abstract ask(context: OpenContext): OpenResult

  get needs(): readonly Wait[] {
    return this.#needs ?? NO_WAITS
  }

  get waitsFor(): readonly Wait[] {
    return this.needs.filter(({ isPending }) => isPending)
  }

  get marks(): Readonly<Record<Stage, readonly Mark[]>> {
    return { open: this.#open, restored: this.#restored }
  }

  marksAt(stage: Stage): readonly Mark[] {
    return stage === 'open' ? this.#open : this.#restored
  }

  /** Notes a need, which is met by the time at which it is asked. */
  note(node: Entry, stage: Stage): Wait {
    return this.#find(node, stage) ?? this.#add(node, stage)
  }

  /** Notes a need. False when it has to be waited for. */
  need(node: Entry, stage: Stage): boolean {
    const wait = this.note(node, stage)
    if (hasReached(node, stage)) return true
    if (!wait.isPending) {
      wait.isPending = true
      this.pending++
      node.#addWaiter(wait)
    }
    return false
  }

  /** It has come to a stage, by operations of which these are the last. Gives all who waited for that. */
  reach(stage: Stage, marks: readonly Mark[]): readonly Wait[] {
    this.reached = stage
    if (this.pending > 0) this.#noteMissed(stage)
    if (this.#open.length === 0) this.#open = marks
    if (stage === 'restored') this.#restored = this.#open === marks ? marks : [...this.#open, ...marks]
    const waiting = this.#untilOpen ?? NO_WAITS
    this.#untilOpen = undefined
    if (stage === 'open' || this.#untilRestored === undefined) return waiting
    const all = [...waiting, ...this.#untilRestored]
    this.#untilRestored = undefined
    return all
  }

  #find(node: Entry, stage: Stage): Wait | undefined {
    if (this.#index !== undefined) return this.#index.get(keyOf(node, stage))
    if (this.#needs === undefined) return undefined
    for (const wait of this.#needs) if (wait.node === node && wait.stage === stage) return wait
    return undefined
  }

  #add(node: Entry, stage: Stage): Wait {
    const wait = new Wait(this, node, stage)
    if (this.#needs === undefined) this.#needs = [wait]
    else this.#needs.push(wait)
    if (this.#index !== undefined) this.#index.set(keyOf(node, stage), wait)
    else if (this.#needs.length > FEW)
      this.#index = new Map(this.#needs.map((each) => [keyOf(each.node, each.stage), each]))
    return wait
  }

  #addWaiter(wait: Wait): void {
    if (wait.stage === 'open') {
      if (this.#untilOpen === undefined) this.#untilOpen = [wait]
      else this.#untilOpen.push(wait)
    } else if (this.#untilRestored === undefined) this.#untilRestored = [wait]
    else this.#untilRestored.push(wait)
  }

  /** What it has asked for and gone on without comes later, or was not waited for at all. */
  #noteMissed(stage: Stage): void {
    if (this.#needs === undefined) return
    if (stage === 'open') {
      for (const need of this.#needs) if (!hasReached(need.node, need.stage)) need.before = 'restored'
    } else {
      this.#needs = this.#needs.filter((need) => hasReached(need.node, need.stage))
      this.#index = undefined
    }
  }
}

function keyOf(node: Entry, stage: Stage): number {
  return node.index * 2 + (stage === 'open' ? 0 : 1)
}

/** A file that is opened. */
export class FileEntry extends Entry {
  readonly file: File
  readonly #kind: FileKind
  readonly #situation: Situation

  constructor(index: number, task: Task | undefined, file: File, kind: FileKind, situation: Situation) {
    super(index, 'file', task)
    this.file = file
    this.#kind = kind
    this.#situation = situation
  }

  get about(): File {
    return this.file
  }

  get kind(): string {
    return this.#kind.name
  }

  get label(): string {
    return this.#kind.describe(this.file, this.#situation)
  }

  get takes(): undefined {
    return undefined
  }

  get makes(): undefined {
    return undefined
  }

  ask(context: OpenContext): OpenResult {
    return this.#kind.open(context)
  }
}

export interface StepMore {
  readonly takes?: PlanNode | undefined
  readonly makes?: Task | undefined
}

/** Anything else. */
export class StepEntry extends Entry {
  readonly takes: PlanNode | undefined
  readonly makes: Task | undefined
  readonly #definition: StepDefinition

  constructor(index: number, role: Role, definition: StepDefinition, { takes, makes }: StepMore = {}) {
    super(index, role, definition.task)
    this.#definition = definition
    this.takes = takes
    this.makes = makes
  }

  get file(): undefined {
    return undefined
  }

  get about(): File | undefined {
    return this.#definition.about
  }

  get kind(): undefined {
    return undefined
  }

  get label(): string {
    return this.#definition.label
  }

  ask(context: OpenContext): OpenResult {
    return this.#definition.run(context)
  }
}
