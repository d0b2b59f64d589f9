import type { Op, Undo } from './op.ts'

/** What the helper is given: operations, and all that they name. */
export interface Program {
  /** Task 0 is the helper. `targets` are the numbers that a task's table has in the end, ascending. */
  readonly tasks: readonly ProgramTask[]
  /** In the one order that holds for all tasks. */
  readonly ops: readonly Op[]
  readonly slots: number
  readonly undo: readonly Undo[]
  /** Numbers of descriptors, ascending, that are a target in any task: no temporary descriptor gets one of them. */
  readonly reserved: readonly number[]
  /** Bytes that arguments point into; strings are ended by NUL. */
  readonly blobs: Uint8Array
  /** What operations are a part of, for people: "regular file /etc/motd, descriptor 3 of process 81". */
  readonly units: readonly string[]
}

export interface ProgramTask {
  /** Process id in the image, 0 for the helper. */
  readonly pid: number
  /** Undefined for a task that shares the table of an earlier one. */
  readonly targets: readonly number[] | undefined
}
