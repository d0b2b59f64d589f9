import type { Problem } from '../errors.ts'
import type { FileKind, Situation } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { DescriptorTable, Task } from '../model/task.ts'

/** Who opens a file: a process, or the helper before there are any. */
export interface Opener {
  readonly file: File
  readonly task: Task | undefined
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
    if (file.fles.length === 0 || kind === undefined) continue
    const tables = [...new Set(file.fles.map(({ table }) => table))]
    if (tables.length > 1 && (kind.isShareable?.(file) ?? false)) openers.push({ file, task: undefined })
    else {
      const table = tables.find((each) => kind.mayOpen?.(file, each, situation) ?? true)
      if (table === undefined) problems.push(nobody(file, kind, situation))
      else openers.push({ file, task: table.owner })
    }
  }
  return openers.sort(byPlace)
}

/** The helper's first; then by the number that a file gets where it is opened, so that the kernel gives it by itself. */
function byPlace(one: Opener, other: Opener): number {
  const order = (one.task?.index ?? 0) - (other.task?.index ?? 0)
  return order === 0 ? numberOf(one) - numberOf(other) : order
}

function numberOf({ file, task }: Opener): number {
  const isThere = ({ table }: { table: DescriptorTable }): boolean =>
    task === undefined || table.owner === task
  return file.fles.find(isThere)?.fd ?? 0
}

function nobody(file: File, kind: FileKind, situation: Situation): Problem {
  const [first] = file.fles
  const message = `${kind.describe(file, situation)} is in ${file.fles.length} tables, and none of them has what it takes to make it`
  return {
    reason: 'no-opener',
    message,
    file: file.id,
    ...(first === undefined ? {} : { pid: first.table.owner.pid, fd: first.fd }),
  }
}
