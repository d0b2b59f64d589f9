import type { Problem } from '../errors.ts'
import type { FileKind, Situation } from '../kinds/kind.ts'
import { flesIn, type File, type Fle } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'

/** Who opens a file: a process, or the helper before there are any. */
export interface Opener {
  readonly file: File
  readonly task: Task | undefined
  /** Its first number there. */
  readonly fd: number
}

/**
 * Who opens each file that a table holds. The helper, where several tables share it and it comes out the same whoever
 * opens it: inheriting costs nothing. Otherwise its master, which is the one with the lowest process id and number of
 * those that can.
 */
export function chooseOpeners(
  situation: Situation,
  kindOf: (file: File) => FileKind | undefined,
  problems: Problem[],
): Opener[] {
  const openers: Opener[] = []
  for (const file of situation.model.files.values()) {
    const kind = kindOf(file)
    const [first] = file.fles
    if (first === undefined || kind === undefined) continue
    if (isShared(file.fles) && (kind.isShareable?.(file) ?? false))
      openers.push({ file, task: undefined, fd: first.fd })
    else {
      const table = tableFor(file, kind, situation)
      if (table === undefined) problems.push(nobody(file, kind, situation))
      else openers.push({ file, task: table.owner, fd: flesIn(file, table)[0]?.fd ?? 0 })
    }
  }
  return openers.sort(byPlace)
}

/** Those of one table are together. */
function isShared(fles: readonly Fle[]): boolean {
  return fles[0]?.table !== fles.at(-1)?.table
}

/** The first one whose owner can open it. */
function tableFor(file: File, kind: FileKind, situation: Situation): DescriptorTable | undefined {
  if (kind.mayOpen === undefined) return file.fles[0]?.table
  const tables = new Set(file.fles.map(({ table }) => table))
  return [...tables].find((table) => kind.mayOpen?.(file, table, situation))
}

/** The helper's first; then by the number that a file gets where it is opened, so that the kernel gives it by itself. */
function byPlace(one: Opener, other: Opener): number {
  return (one.task?.index ?? 0) - (other.task?.index ?? 0) || one.fd - other.fd
}

function nobody(file: File, kind: FileKind, situation: Situation): Problem {
  const [first] = file.fles
  const message = `${kind.describe(file, situation)} is in ${new Set(file.fles.map(({ table }) => table)).size} tables, and none of them has what it takes to make it`
  return {
    reason: 'no-opener',
    message,
    file: file.id,
    ...(first === undefined ? {} : { pid: first.table.owner.pid, fd: first.fd }),
  }
}
