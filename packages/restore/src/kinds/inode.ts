import type { File } from '../model/file.ts'

/** The inode of a file, where its image has one. Anonymous files share one, which tells nothing. */
export function inodeOf({ entry }: File): bigint | undefined {
  const { pipe, usk, isk, nlsk } = entry
  const inode = pipe?.pipeId ?? usk?.ino ?? isk?.ino ?? nlsk?.ino
  return inode === undefined ? undefined : BigInt(inode)
}
