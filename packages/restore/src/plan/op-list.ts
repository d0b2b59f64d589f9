import {
  ARGUMENT,
  CODE,
  FLAG,
  UNDO,
  type Argument,
  type Op,
  type Slot,
  type TaskIndex,
  type Undo,
} from '../program/op.ts'
import { Blobs } from '../program/blobs.ts'
import type { NameChange } from './task-ops.ts'
import type { Mark } from './node.ts'

const NEVER = 0xffffffff

const O_CLOEXEC = 0o2000000
const both = FLAG.cloexec | FLAG.cloexec2

const undoOf = { create: UNDO.unlink, createFolder: UNDO.rmdir, rename: UNDO.rename } as const

/** An operation that may still change: it may get a place, or somebody who waits for it. All have the same fields. */
export class OpDraft implements Op {
  readonly code: number
  readonly task: TaskIndex
  readonly unit: number
  args: readonly Argument[]
  call: number | undefined = undefined
  flags = 0
  out: Slot | undefined = undefined
  out2: Slot | undefined = undefined
  number: number | undefined = undefined
  number2: number | undefined = undefined
  tolerate: number | undefined = undefined
  expect: bigint | undefined = undefined
  mask: bigint | undefined = undefined

  constructor(code: number, task: TaskIndex, unit: number, args: readonly Argument[]) {
    this.code = code
    this.task = task
    this.unit = unit
    this.args = args
  }
}

/** A change of names that is to be taken back, unless another operation has done so. */
interface Change {
  readonly op: number
  readonly change: Exclude<NameChange, { readonly kind: 'remove' | 'move' }>
  until?: number
}

/**
 * The program while it is written. The order in which operations are added is the order in which they run, as far as
 * tasks wait for each other; so an operation can only wait for one that is there already.
 */
export class OpList {
  readonly ops: OpDraft[] = []
  readonly #blobs = new Blobs()
  readonly #changes: Change[] = []
  /** The last change that made a name, by name. */
  readonly #made = new Map<string, Change>()
  /** By slot: the operation that fills it. */
  readonly #filledBy: number[] = []
  #slots = 0
  readonly #aside = new Set<Slot>()
  /** By task: who forks it, and with which operation. */
  readonly #births = new Map<TaskIndex, Mark>()
  /** By the task that waits and the one that is waited for: the last operation that has been. */
  readonly #awaited = new Map<number, number>()

  get slots(): number {
    return this.#slots
  }

  get blobs(): Uint8Array {
    return this.#blobs.bytes()
  }

  get undo(): Undo[] {
    return this.#changes.map(({ op, change, until }) => ({
      op,
      until: until ?? NEVER,
      kind: undoOf[change.kind],
      // What was renamed is looked for under its new name.
      a: this.text(change.kind === 'rename' ? change.to : change.path),
      b: change.kind === 'rename' ? this.text(change.path) : 0,
    }))
  }

  newSlot(): Slot {
    return this.#slots++
  }

  push(op: OpDraft): number {
    const index = this.ops.length
    this.ops.push(op)
    if (op.code === CODE.adopt) this.#noteFilled(op.args[2], op.args[3], index)
    if (op.code === CODE.deadPidfds) this.#noteFilled(op.args[1], op.args[2], index)
    if (op.out !== undefined) this.#filledBy[op.out] = index
    if (op.out2 !== undefined) this.#filledBy[op.out2] = index
    return index
  }

  #noteFilled(count: Argument | undefined, first: Argument | undefined, index: number): void {
    for (let place = 0; place < Number(count?.value ?? 0); place++) {
      this.#filledBy[Number(first?.value ?? 0) + place] = index
    }
  }

  bytes(bytes: Uint8Array): number {
    return this.#blobs.add(bytes)
  }

  text(text: string): number {
    return this.#blobs.text(text)
  }

  noteChange(op: number, change: NameChange): void {
    if (change.kind === 'remove' || change.kind === 'move') {
      const made = this.#made.get(change.path)
      if (made !== undefined) made.until = op
      this.#made.delete(change.path)
    }
    if (change.kind === 'remove') return
    const made: Change = { op, change: change.kind === 'move' ? { kind: 'create', path: change.to } : change }
    this.#changes.push(made)
    this.#made.set(change.kind === 'rename' ? change.to : made.change.path, made)
  }

  /** The next operation makes a task. */
  noteFork(child: TaskIndex, parent: TaskIndex): void {
    this.#births.set(child, { task: parent, op: this.ops.length })
  }

  /** The operation that makes this descriptor does not place it: the number that it will have may not be free then. */
  keepAside(slot: Slot): void {
    this.#aside.add(slot)
  }

  /** Has the operation that makes a descriptor place it, too: a call less. False when it cannot. */
  placeAtOnce(slot: Slot, fd: number, cloexec: boolean): boolean {
    const op = this.ops[this.#filledBy[slot] ?? -1]
    if (op === undefined || this.#aside.has(slot) || op.code === CODE.adopt || op.code === CODE.deadPidfds)
      return false
    const isSecond = op.out2 === slot
    if ((isSecond ? op.number2 : op.number) !== undefined) return false
    if (isSecond) op.number2 = fd
    else op.number = fd
    if (cloexec) op.flags |= isSecond ? FLAG.cloexec2 : FLAG.cloexec
    if ((op.flags & both) === both) op.args = withCloexec(op.args)
    return true
  }

  /** All tasks wait for each other here: what one of them closes after it, none of them needs any more. */
  meet(tasks: readonly TaskIndex[], unit: number): void {
    const here = (task: TaskIndex): Mark => {
      const args = [0, 0, 4].map((number) => ({ kind: ARGUMENT.value, value: number }))
      return { task, op: this.push(new OpDraft(CODE.store, task, unit, args)) }
    }
    const arrived = tasks.map(here)
    for (const mark of arrived) this.awaitOp(0, mark, unit)
    const all = here(0)
    for (const task of tasks) this.awaitOp(task, all, unit)
  }

  /** What the task does next needs what is in a slot of another one. */
  awaitFilled(task: TaskIndex, slot: Slot, unit: number): void {
    const op = this.#filledBy[slot]
    if (op === undefined) throw new Error(`slot ${slot} is filled by nothing`)
    const by = this.ops[op]?.task ?? 0
    this.awaitOp(task, { task: by, op }, unit)
  }

  /** What the task does next runs after an operation. */
  awaitOp(task: TaskIndex, { task: other, op }: Mark, unit: number): void {
    if (task === other || this.#isBeforeBirth(task, other, op)) return
    const pair = task * 0x1_0000_0000 + other
    if ((this.#awaited.get(pair) ?? -1) >= op) return
    this.#awaited.set(pair, op)
    const awaited = this.ops[op]
    if (awaited !== undefined) awaited.flags |= FLAG.post
    const args = [other, op].map((number) => ({ kind: 0, value: number }))
    this.push(new OpDraft(CODE.wait, task, unit, args))
  }

  /** Whether an ancestor did it before it made the task, or the way to it. */
  #isBeforeBirth(task: TaskIndex, other: TaskIndex, op: number): boolean {
    for (let birth = this.#births.get(task); birth !== undefined; birth = this.#births.get(birth.task)) {
      if (birth.task === other) return op < birth.op
    }
    return false
  }
}

/** The arguments of pipe2(2), or of socketpair(2), which are told of FD_CLOEXEC in the same place. */
function withCloexec(args: readonly Argument[]): readonly Argument[] {
  return args.map((each, place) => (place === 1 ? { ...each, value: Number(each.value) | O_CLOEXEC } : each))
}
