import type { Slot } from '../program/op.ts'
import type { Task } from '../model/task.ts'
import type { File } from '../model/file.ts'

/** How far a node has come: `open`, its descriptor exists and has its numbers, `restored`, all of it is as it was. */
export type Stage = 'open' | 'restored'

/**
 * What a node is: a file that is opened; the taking of one into another table than its opener's; a part of the making of
 * processes; or a step that files need and that is none.
 */
export type Role = 'file' | 'take' | 'process' | 'step'

/** The last operation of a task that belongs to a stage. */
export interface Mark {
  readonly task: number
  readonly op: number
}

/** What the plan is made of: a file, a process that is made, or something that several of them need. */
export interface PlanNode {
  /** Place in the list of nodes, and unit of its operations. */
  readonly index: number
  readonly role: Role
  /** The task that runs it first; undefined for the helper. */
  readonly task: Task | undefined
  readonly file: File | undefined
  /** The file that it is, or is done for. */
  readonly about: File | undefined
  /** Name of the file's kind. */
  readonly kind: string | undefined
  /** The node whose file is taken. */
  readonly takes: PlanNode | undefined
  /** The process that is forked. */
  readonly makes: Task | undefined
  readonly label: string
  reached: 'none' | Stage
  slot: Slot | undefined
  /** What has to be done before the stage can be relied on, by stage. */
  readonly marks: Readonly<Record<Stage, readonly Mark[]>>
  /** Whom it has asked for, in this order: the edges of the graph. */
  readonly needs: readonly Need[]
}

export interface Need {
  readonly node: PlanNode
  readonly stage: Stage
  /** What of the asker comes after it. */
  before: Stage
}

export function hasReached(node: PlanNode, stage: Stage): boolean {
  return node.reached === 'restored' || node.reached === stage
}
