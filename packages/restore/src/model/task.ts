import type { Fle, File } from './file.ts'

/** A process of the image. */
export interface Task {
  /** Place in the program: 1 and up, parents before children. 0 is the helper. */
  readonly index: number
  readonly pid: number
  /** Undefined for the root of a tree. */
  readonly parent: Task | undefined
  readonly children: Task[]
  readonly pgid: number
  readonly sid: number
  readonly table: DescriptorTable
  readonly surroundings: Surroundings
}

/** The numbers that a process knows its files by. Processes made by clone with CLONE_FILES share one. */
export interface DescriptorTable {
  readonly id: number
  /** The process that fills it: the one of its sharers that is made first. */
  readonly owner: Task
  readonly sharers: Task[]
  /** By ascending number. */
  readonly fles: Fle[]
}

/** Where paths begin for a process, shared by those made by clone with CLONE_FS. */
export interface Surroundings {
  readonly id: number
  readonly owner: Task
  readonly sharers: Task[]
  readonly root: File | undefined
  readonly workingDirectory: File | undefined
  readonly umask: number | undefined
}
