import type { Problem } from '../errors.ts'
import type { DescriptorTable, Task } from '../model/task.ts'
import type { File } from '../model/file.ts'
import type { Model } from '../model/model.ts'
import type { FdType, ImageSet } from '../images/index.ts'
import type { Slot } from '../program/op.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { PlanNode, Stage } from '../plan/node.ts'

/**
 * What open() says: 0, the file is as it was, 1, call me again when something that I need has moved on, -1, it cannot
 * be. `newFd` comes once, with 0 or with 1: from then on the file exists, gets its numbers and is served to all who
 * share it. The contract is that of CRIU's file_desc_ops.
 */
export interface OpenResult {
  readonly status: 0 | 1 | -1
  readonly newFd?: Slot
  /** With -1: why. */
  readonly problem?: Problem
}

/** Everything that is known before the first operation. */
export interface Situation {
  readonly images: ImageSet
  readonly model: Model
  /** Where a path of the image is now. */
  readonly path: (name: string) => string
  /** Path of the network namespace that everything is made in; undefined for that of this process. */
  readonly networkNamespace: string | undefined
  /** What is made once for a plan, by this name: an index of its files, say. */
  readonly once: <T>(name: string, make: () => T) => T
  /** What the plan can go on without, for people. */
  readonly warn: (problem: Problem) => void
}

/** What open() has: the situation, and ways to add operations and to wait. */
export interface StepContext extends Situation {
  /** Operations of the task in which the file is opened; of the helper when that is shared before any task exists. */
  readonly ops: TaskOps
  /** Those of another task. */
  readonly opsOf: (task: Task) => TaskOps
  /**
   * Whether a node has come to a stage. If so, what is added from now on runs after it. If not, this node waits for
   * it: open() answers 1, and is called again when that has happened.
   */
  readonly need: (node: PlanNode, stage: Stage) => boolean
  readonly nodeOf: (file: File) => PlanNode
  /** The node by which a process is there, and its table ready to be filled. */
  readonly readyOf: (task: Task) => PlanNode
  /**
   * The node of this name, made by `make` when nobody has asked for it before: for what several files need and no
   * table holds, as the inode of a deleted file.
   */
  readonly shared: (name: string, make: () => StepDefinition) => PlanNode
  /** The descriptor of a file in the table of a task, by `ops` of that task: its own, or fetched. After need(file, 'open'). */
  readonly slotOf: (file: File, ops: TaskOps) => Slot
  /** Runs when every process has opened everything, before anything is closed. */
  readonly afterOpens: (task: Task | undefined, add: (ops: TaskOps) => void) => void
  /**
   * Runs when all tables are as they will be, in every process, before the commit: for what would see that they were
   * made, as a watch, or would be told of it, as an owner. Processes are in their root folders by then.
   */
  readonly beforeCommit: (task: Task | undefined, add: (ops: TaskOps) => void) => void
  /** Runs when nothing can fail any more but what is added here: for what cannot be taken back. */
  readonly afterCommit: (task: Task | undefined, add: (ops: TaskOps) => void) => void
  /** Runs when every process has done what comes after the commit. */
  readonly atLast: (task: Task | undefined, add: (ops: TaskOps) => void) => void
}

export interface OpenContext extends StepContext {
  readonly file: File
  /** The task that opens; undefined for the helper. */
  readonly task: Task | undefined
  /** Whether the call that makes the descriptor should set FD_CLOEXEC. */
  readonly cloexec: boolean
  /** The descriptor that open() has returned before. */
  readonly slot: Slot | undefined
}

/** A part of the plan that is no file of a table. */
export interface StepDefinition {
  /** The task that runs it; undefined for the helper. */
  readonly task: Task | undefined
  /** What it is, for people. */
  readonly label: string
  /** The file that it is done for, whose place is told when something is wrong with it. */
  readonly about?: File
  run(context: StepContext & { readonly slot: Slot | undefined }): OpenResult
}

/** A kind of files: how to recognise one, to judge it, and to make it again. */
export interface FileKind {
  /** For people: "pipe". */
  readonly name: string
  /** The types of image entries that it takes; with `matches`, only those of them for which that is true. */
  readonly types: readonly FdType[]
  matches?(file: File): boolean
  /** The file in the words of a person: "pipe 81, write end". */
  describe(file: File, situation: Situation): string
  /** Whether it comes out the same whoever opens it; then those that several tables share are opened before any task exists. */
  isShareable?(file: File): boolean
  /** Whether the owner of this table, which has the file, can be the one that opens it. By default each can. */
  mayOpen?(file: File, table: DescriptorTable, situation: Situation): boolean
  /** Numbers of descriptors that open() uses for a moment: nothing else is there meanwhile. */
  numbers?(file: File): Iterable<number>
  /** What is wrong with it, looked for before anything is planned. */
  check?(file: File, situation: Situation): Iterable<Problem>
  open(context: OpenContext): OpenResult
}
