import { RestoreError } from '../errors.ts'
import { ARGUMENT, CODE, FLAG, SCRATCH_SIZE, UNDO, type Argument, type Op } from './op.ts'
import type { Program, ProgramTask } from './program.ts'

/** The end of a process at one operation of a program, for tests of what is left behind. */
export interface Fault {
  /** Index of the operation. */
  readonly op: number
  readonly victim: 'task' | 'helper' | 'caller'
  /** Before the operation, unless told; or between its system call and what the helper does with the result. */
  readonly moment?: 'before' | 'within' | undefined
}

export interface EncodeOptions {
  /** Milliseconds that the helper has up to its barrier, and again behind it; 0 for no limit. */
  readonly deadline?: number | undefined
  readonly fault?: Fault | undefined
}

// As in native/program.h.
const MAGIC = 0x70723178
const VERSION = 1
const NONE = -1
const NEVER = 0xffff_ffff
const HEADER_SIZE = 88
const TASK_SIZE = 16
const OP_SIZE = 112
const UNDO_SIZE = 32
const ARGUMENTS = 6
const KINDS_AT = 56
const ARGUMENTS_AT = 64
const VICTIMS = { task: 1, helper: 2, caller: 3 } as const
const MOMENTS = { before: 0, within: 1 } as const
const HIGHEST = 0x7fff_ffff
const TWO_32 = 2 ** 32

const last = (table: Readonly<Record<string, number>>): number => Math.max(...Object.values(table))
const LAST_CODE = last(CODE)
const LAST_KIND = last(ARGUMENT)
const LAST_UNDO = last(UNDO)
const ALL_FLAGS = Object.values(FLAG).reduce((all, flag) => all | flag, 0)

const aligned = (size: number): number => (size + 7) & ~7

const bad = (message: string): RestoreError =>
  new RestoreError([{ reason: 'bad-program', message: `the program to run is malformed: ${message}` }])

/** Where the parts of an encoded program are. */
interface Layout {
  readonly tasksAt: number
  readonly opsAt: number
  readonly undoAt: number
  readonly reservedAt: number
  readonly reservedWords: number
  readonly blobsAt: number
  /** Behind the program's own blobs, of the targets of the tasks. */
  readonly targetsAt: number
  readonly blobsSize: number
  readonly size: number
}

function layOut(program: Program): Layout {
  const { tasks, ops, undo, reserved, blobs } = program
  const tasksAt = HEADER_SIZE
  const opsAt = aligned(tasksAt + tasks.length * TASK_SIZE)
  const undoAt = opsAt + ops.length * OP_SIZE
  const reservedAt = undoAt + undo.length * UNDO_SIZE
  const reservedWords = Math.floor((reserved.at(-1) ?? -1) / 32) + 1
  const blobsAt = aligned(reservedAt + reservedWords * 4)
  // A byte more at least: the last one is 0, whatever is before it.
  const targetsAt = aligned(blobs.length + 1)
  const targets = tasks.reduce((count, task) => count + (task.targets?.length ?? 0), 0)
  const blobsSize = targetsAt + targets * 4 + 8
  const size = blobsAt + blobsSize
  if (size > HIGHEST)
    throw bad(`it has ${size} bytes, and ${HIGHEST} at most are possible: restore fewer tasks at a time`)
  return { tasksAt, opsAt, undoAt, reservedAt, reservedWords, blobsAt, targetsAt, blobsSize, size }
}

/**
 * The bytes that the helper is given (native/program.h). Every index is checked; throws RestoreError EINVAL with the
 * reason `bad-program`, which is a mistake of whoever made the program and of nobody's image.
 */
export function encodeProgram(program: Program, options: EncodeOptions = {}): Buffer {
  const layout = layOut(program)
  // Nothing of another buffer is around it.
  const bytes = Buffer.alloc(layout.size)
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(layout.size / 4))
  encodeHeader(program, options, layout, words, bytes)
  encodeReserved(program.reserved, words.subarray(layout.reservedAt / 4))
  bytes.set(program.blobs, layout.blobsAt)
  encodeTargets(program.tasks, layout, words)
  const places = placeOps(program, layout, words)
  new OpEncoder(program, words, bytes).encode(layout.opsAt, places)
  encodeUndo(program, layout, words, places)
  return bytes
}

function encodeHeader(
  program: Program,
  { deadline = 0, fault }: EncodeOptions,
  layout: Layout,
  words: Int32Array,
  bytes: Buffer,
): void {
  const { tasks, ops, slots, undo } = program
  if (tasks.length === 0) throw bad('it has no task 0, which is the helper')
  if (!Number.isInteger(slots) || slots < 0 || slots > 2 * ops.length + program.blobs.length / 4)
    throw bad(`it has ${slots} slots`)
  if (!Number.isInteger(deadline) || deadline < 0 || deadline > HIGHEST) {
    throw bad(`the deadline is a number of milliseconds from 0 to ${HIGHEST}, not ${deadline}`)
  }
  words.set([MAGIC, VERSION, tasks.length, ops.length, slots, undo.length, layout.reservedWords, deadline])
  const offsets = [
    layout.tasksAt,
    layout.opsAt,
    layout.undoAt,
    layout.reservedAt,
    layout.blobsAt,
    layout.blobsSize,
  ]
  for (const [index, offset] of offsets.entries()) words[8 + index * 2] = offset
  if (fault === undefined) return
  words[20] = fault.op
  bytes.writeUInt16LE(VICTIMS[fault.victim], 84)
  bytes.writeUInt16LE(MOMENTS[fault.moment ?? 'before'], 86)
}

function encodeReserved(reserved: readonly number[], set: Int32Array): void {
  let before = -1
  for (const number of reserved) {
    if (!Number.isInteger(number) || number <= before) throw bad('the reserved numbers are not ascending')
    before = number
    const word = number >> 5
    set[word] = (set[word] ?? 0) | (1 << (number & 31))
  }
}

function encodeTargets(tasks: readonly ProgramTask[], layout: Layout, words: Int32Array): void {
  let at = layout.targetsAt
  for (const [index, { targets }] of tasks.entries()) {
    const entry = (layout.tasksAt + index * TASK_SIZE) / 4
    words[entry + 1] = NONE
    if (targets === undefined) continue
    words[entry] = at
    words[entry + 1] = targets.length
    let before = -1
    let word = (layout.blobsAt + at) / 4
    for (const number of targets) {
      if (!Number.isInteger(number) || number <= before || number > HIGHEST) {
        throw bad(`the targets of task ${index} are not ascending`)
      }
      before = number
      words[word++] = number
    }
    at += targets.length * 4
  }
}

/** Where each operation stands: those of a task together, in the order of the list. */
function placeOps({ tasks, ops }: Program, layout: Layout, words: Int32Array): Uint32Array {
  const next = new Uint32Array(tasks.length + 1)
  for (const { task } of ops) {
    if (!Number.isInteger(task) || task < 0 || task >= tasks.length) {
      const index = ops.findIndex((op) => op.task === task)
      throw bad(`operation ${index} is of task ${task}, and there are ${tasks.length}`)
    }
    next[task + 1] = (next[task + 1] ?? 0) + 1
  }
  for (let task = 0; task < tasks.length; task++) {
    const entry = (layout.tasksAt + task * TASK_SIZE) / 4
    const first = next[task] ?? 0
    words[entry + 2] = first
    words[entry + 3] = next[task + 1] ?? 0
    next[task + 1] = first + (next[task + 1] ?? 0)
  }
  const places = new Uint32Array(ops.length)
  let index = 0
  for (const { task } of ops) {
    const place = next[task] ?? 0
    places[index++] = place
    next[task] = place + 1
  }
  return places
}

function encodeUndo(
  { ops, undo, blobs }: Program,
  layout: Layout,
  words: Int32Array,
  places: Uint32Array,
): void {
  let before = -1
  for (const [index, entry] of undo.entries()) {
    const op = ops[entry.op]
    if (op === undefined || entry.op <= before)
      throw bad('the undo table is not in the order of the operations')
    if (op.code !== CODE.syscall || !((op.flags ?? 0) & FLAG.undo)) {
      throw bad(`operation ${entry.op} can be undone and is no system call with FLAG.undo`)
    }
    if (!(entry.kind >= 0 && entry.kind <= LAST_UNDO) || !isIn(blobs, entry.a) || !isIn(blobs, entry.b)) {
      throw bad(`the undoing of operation ${entry.op} has no path`)
    }
    if (entry.until !== NEVER && !(entry.until > entry.op && entry.until < ops.length)) {
      throw bad(`operation ${entry.op} is taken back by operation ${entry.until}, which is none behind it`)
    }
    before = entry.op
    const at = (layout.undoAt + index * UNDO_SIZE) / 4
    words[at] = entry.op
    words[at + 1] = entry.kind
    words[at + 2] = entry.a
    words[at + 4] = entry.b
    words[at + 6] = entry.until
    words[(layout.opsAt + (places[entry.op] ?? 0) * OP_SIZE) / 4 + 9] = index
  }
  const flagged = ops.reduce((count, op) => count + ((op.flags ?? 0) & FLAG.undo ? 1 : 0), 0)
  if (flagged !== undo.length) {
    throw bad(`${flagged} operations have FLAG.undo, and the undo table has ${undo.length} entries`)
  }
}

const isIn = (blobs: Uint8Array, offset: number): boolean =>
  Number.isInteger(offset) && offset >= 0 && offset < Math.max(1, blobs.length)

class OpEncoder {
  readonly #program: Program
  readonly #words: Int32Array
  readonly #bytes: Buffer
  /** By the kind of an argument. */
  readonly #bounds: readonly number[]

  constructor(program: Program, words: Int32Array, bytes: Buffer) {
    this.#program = program
    this.#bounds = Object.assign([HIGHEST], {
      [ARGUMENT.slot]: program.slots,
      [ARGUMENT.path]: program.slots,
      [ARGUMENT.blob]: program.blobs.length + 1,
      [ARGUMENT.pid]: program.tasks.length,
      [ARGUMENT.scratch]: SCRATCH_SIZE,
    })
    this.#words = words
    this.#bytes = bytes
  }

  encode(at: number, places: Uint32Array): void {
    const { ops } = this.#program
    for (let index = 0; index < ops.length; index++) {
      const op = ops[index]
      if (op !== undefined) this.#op(op, index, at + (places[index] ?? 0) * OP_SIZE)
    }
  }

  #op(op: Op, index: number, at: number): void {
    const flags = op.flags ?? 0
    if (!(op.code >= 0 && op.code <= LAST_CODE) || flags & ~ALL_FLAGS || op.args.length > ARGUMENTS) {
      throw bad(`operation ${index} has an unknown code or flag, or too many arguments`)
    }
    const words = this.#words
    const word = at / 4
    words[word] = op.code | (flags << 16)
    words[word + 1] = op.task
    words[word + 2] = index
    words[word + 3] = op.call ?? 0
    words[word + 4] = this.#slot(op.out, index)
    words[word + 5] = this.#slot(op.out2, index)
    words[word + 6] = numberOf(op.number, index)
    words[word + 7] = numberOf(op.number2, index)
    words[word + 8] = op.tolerate ?? 0
    words[word + 9] = NONE
    writeLong(words, word + 10, op.expect ?? 0)
    writeLong(words, word + 12, op.mask ?? -1)
    let place = 0
    for (const argument of op.args) {
      this.#check(argument, op, index)
      this.#bytes[at + KINDS_AT + place] = argument.kind
      writeLong(words, (at + ARGUMENTS_AT) / 4 + place * 2, argument.value)
      place++
    }
  }

  #slot(slot: number | undefined, index: number): number {
    if (slot === undefined) return NONE
    if (Number.isInteger(slot) && slot >= 0 && slot < this.#program.slots) return slot
    throw bad(`operation ${index} fills slot ${slot}, and there are ${this.#program.slots}`)
  }

  #check({ kind, value }: Argument, op: Op, index: number): void {
    if (kind === ARGUMENT.value) return
    if (!(kind >= 0 && kind <= LAST_KIND))
      throw bad(`operation ${index} has an argument of the unknown kind ${kind}`)
    const bound = this.#bounds[kind] ?? HIGHEST
    if (value >= 0 && value < bound) return
    throw bad(`operation ${index}, of code ${op.code}, has the argument ${value}, which is nowhere`)
  }
}

function numberOf(number: number | undefined, index: number): number {
  if (number === undefined) return NONE
  if (Number.isInteger(number) && number >= 0 && number <= HIGHEST) return number
  throw bad(`operation ${index} has the descriptor number ${number}`)
}

function writeLong(words: Int32Array, at: number, value: number | bigint): void {
  if (typeof value === 'bigint') {
    words[at] = Number(BigInt.asIntN(32, value))
    words[at + 1] = Number(BigInt.asIntN(32, value >> 32n))
    return
  }
  if (!Number.isSafeInteger(value)) throw bad(`${value} is no argument; numbers above 2^53 are bigints`)
  words[at] = value | 0
  words[at + 1] = value === (value | 0) ? value >> 31 : Math.floor(value / TWO_32)
}
