import type { File } from '../model/file.ts'
import type { Task } from '../model/task.ts'

/** The process whose table has a file to the end; undefined for one that is only in flight. */
export function holderOf(file: File): Task | undefined {
  return file.fles[0]?.table.owner
}
