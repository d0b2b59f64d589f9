import type { FdType, FileEntry } from '../images/index.ts'
import type { DescriptorTable } from './task.ts'

/** An open file description: what descriptors of any number of processes share. */
export interface File {
  readonly id: number
  readonly type: FdType
  /** What the image says of it; the message of its type is there. */
  readonly entry: FileEntry
  /** Its descriptors, the master first; none for a file that is only in flight, or only where a process works. */
  readonly fles: Fle[]
}

/** A descriptor: a file under a number in a table. The name is CRIU's, "file list entry". */
export interface Fle {
  readonly file: File
  readonly table: DescriptorTable
  readonly fd: number
  readonly cloexec: boolean
}
