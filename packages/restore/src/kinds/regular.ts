import { statSync, type Stats } from 'node:fs'
import { FdType, has, type RegFileEntry } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import type { FileKind, Situation } from './kind.ts'
import { AT_FDCWD, O_CLOEXEC, O_PATH, onlyAtCreation } from './flags.ts'
import { hasOwner, restoreOwner } from './owner.ts'

/** It has no position, or one that must not be set. */
const NO_POSITION = 2n ** 64n - 1n
const SEEK_SET = 0

const entryOf = (file: File): RegFileEntry => file.entry.reg as RegFileEntry

/** Files that have a name: regular ones, folders, devices, symbolic links that are open as such. */
export const regularKind: FileKind = {
  name: 'regular file',
  types: [FdType.REG],
  isShareable: (file) => !entryOf(file).name.startsWith('/proc/'),
  describe: (file) => `file ${entryOf(file).name}`,
  *check(file, situation) {
    yield* checkName(file, situation)
  },
  open(context) {
    const { ops, file, cloexec, path, slot } = context
    const { fown, flags, name, pos } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const wanted = (flags & ~onlyAtCreation) | (cloexec ? O_CLOEXEC : 0)
    const newFd = ops.open('openat', [AT_FDCWD, { text: path(name) }, wanted, 0])
    if (pos !== 0n && pos !== NO_POSITION && (flags & O_PATH) === 0)
      ops.call('lseek', [{ slot: newFd }, pos, SEEK_SET], { expect: pos })
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function* checkName(file: File, { path }: Situation): Iterable<Problem> {
  const entry = entryOf(file)
  const name = path(entry.name)
  const found = look(name)
  const wrong = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
  })
  if (found === undefined)
    yield wrong('file-missing', `${name} is not there: restore it first, or map its path`)
  else if (has(entry, 'mode') && entry.mode !== found.mode)
    yield wrong('file-changed', `${name} has the mode ${octal(found.mode)}, and had ${octal(entry.mode)}`)
  else if (has(entry, 'size') && found.isFile() && BigInt(found.size) !== entry.size)
    yield wrong(
      'file-changed',
      `${name} has ${found.size} bytes, and had ${entry.size}: it was changed since the dump`,
    )
}

function look(name: string): Stats | undefined {
  return statSync(name, { throwIfNoEntry: false })
}

function octal(mode: number): string {
  return mode.toString(8)
}
