import type { File } from '../model/file.ts'
import type { FileKind } from './kind.ts'

/** A function that says of which kind a file is; a later kind goes before an earlier one that would take it, too. */
export function kindFinder(kinds: readonly FileKind[]): (file: File) => FileKind | undefined {
  const byType = new Map<number, FileKind[]>()
  for (const kind of kinds) {
    for (const type of kind.types) byType.set(type, [kind, ...(byType.get(type) ?? [])])
  }
  return (file) => byType.get(file.type)?.find((kind) => kind.matches?.(file) ?? true)
}
