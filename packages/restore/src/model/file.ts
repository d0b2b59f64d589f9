import type { FdType, FileEntry } from '../images/index.ts'
import type { DescriptorTable } from './task.ts'

/** An open file description: what descriptors of any number of processes share. */
export interface File {
  readonly id: number
  readonly type: FdType
  /** What the image says of it; the message of its type is there. */
  readonly entry: FileEntry
  /**
   * Its descriptors by the process ids of the owners of their tables, and there by their numbers: the master first. None
   * for a file that is only in flight, or only where a process works.
   */
  readonly fles: readonly Fle[]
}

/** A descriptor: a file under a number in a table. The name is CRIU's, "file list entry". */
export interface Fle {
  readonly file: File
  readonly table: DescriptorTable
  readonly fd: number
  readonly cloexec: boolean
}

const NONE: readonly Fle[] = []

/** The descriptors of a file in one table, by number. */
export function flesIn({ fles }: File, table: DescriptorTable): readonly Fle[] {
  if (fles.length === 1) return fles[0]?.table === table ? fles : NONE
  const start = placeOf(fles, table.owner.pid)
  let end = start
  while (fles[end]?.table === table) end++
  return end === start ? NONE : fles.slice(start, end)
}

/** The first descriptor of a process, or of one that comes behind it. */
function placeOf(fles: readonly Fle[], pid: number): number {
  let low = 0
  let high = fles.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((fles[middle]?.table.owner.pid ?? 0) < pid) low = middle + 1
    else high = middle
  }
  return low
}
