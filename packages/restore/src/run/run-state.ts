import { ftruncateSync, readSync } from 'node:fs'
import { memfd, type Fd } from '@x/fdpass'
import type { Program } from '../program/program.ts'

// As in native/state.h.
const HEADER_SIZE = 128
const TASK_SIZE = 64
const AT = {
  kind: 36,
  task: 40,
  op: 44,
  call: 48,
  errno: 52,
  detail: 56,
  outcome: 64,
  undoStuck: 72,
  undoErrno: 76,
}
const PROGRESS_AT = 4
const UNDO_STUCK = 5

/** Kinds of failure, by their numbers. */
export const FAILURES = [
  'none',
  'call',
  'unexpected',
  'died',
  'rollback',
  'caller-gone',
  'deadline',
  'program',
  'helper',
] as const

/** Why a run failed, as whoever failed first has told it. */
export interface Failure {
  readonly kind: (typeof FAILURES)[number]
  readonly task: number
  readonly op: number
  readonly call: number
  /** Positive. */
  readonly errno: number
  readonly detail: number
}

const OUTCOMES = ['none', 'held', 'rolled-back'] as const

/** What is known of a run, by the memory that the helper and its tasks write. */
export class RunState implements Disposable {
  readonly file: Fd
  readonly #tasks: number
  readonly #undo: number

  constructor({ tasks, undo, slots }: Program) {
    this.#tasks = tasks.length
    this.#undo = undo.length
    this.file = memfd('restore-state')
    ftruncateSync(this.file.fd, HEADER_SIZE + tasks.length * TASK_SIZE + ((undo.length + 7) & ~7) + slots * 4)
  }

  get outcome(): (typeof OUTCOMES)[number] {
    return OUTCOMES[this.#read(0, HEADER_SIZE).readUInt32LE(AT.outcome)] ?? 'none'
  }

  get failure(): Failure {
    const header = this.#read(0, HEADER_SIZE)
    return {
      kind: FAILURES[header.readUInt32LE(AT.kind)] ?? 'none',
      task: header.readUInt32LE(AT.task),
      op: header.readUInt32LE(AT.op),
      call: header.readUInt32LE(AT.call),
      errno: header.readInt32LE(AT.errno),
      detail: Number(header.readBigInt64LE(AT.detail)),
    }
  }

  /** Of every task, task 0 the helper's; 0 for one that was never made. */
  get pids(): number[] {
    const tasks = this.#read(HEADER_SIZE, this.#tasks * TASK_SIZE)
    return Array.from({ length: this.#tasks }, (_, task) => tasks.readInt32LE(task * TASK_SIZE))
  }

  /** Of every task the index in the list of the operation that it has done last, plus one. */
  get progress(): number[] {
    const tasks = this.#read(HEADER_SIZE, this.#tasks * TASK_SIZE)
    return Array.from({ length: this.#tasks }, (_, task) =>
      tasks.readUInt32LE(task * TASK_SIZE + PROGRESS_AT),
    )
  }

  /** Indices into the undo table of what could not be undone, and the first error, positive. */
  get stuck(): { readonly entries: number[]; readonly errno: number } {
    const header = this.#read(0, HEADER_SIZE)
    if (header.readUInt32LE(AT.undoStuck) === 0) return { entries: [], errno: 0 }
    const states = this.#read(HEADER_SIZE + this.#tasks * TASK_SIZE, this.#undo)
    const entries = [...states.keys()].filter((index) => states[index] === UNDO_STUCK)
    return { entries, errno: header.readInt32LE(AT.undoErrno) }
  }

  [Symbol.dispose](): void {
    this.file.close()
  }

  #read(at: number, size: number): Buffer {
    const bytes = Buffer.alloc(size)
    readSync(this.file.fd, bytes, 0, size, at)
    return bytes
  }
}
