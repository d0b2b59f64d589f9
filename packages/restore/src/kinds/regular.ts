import { FdType } from '../images/index.ts'
import { O_PATH } from './flags.ts'
import type { FileKind } from './kind.ts'
import { checkNamed, namedEntry, openNamed } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { isSocketName } from './unix/socket-name.ts'

/** It has no position, or one that must not be set. */
const NO_POSITION = 2n ** 64n - 1n
const SEEK_SET = 0

/** Files that have, or had, a name: regular ones, folders, devices, symbolic links that are open as such. */
export const regularKind: FileKind = {
  name: 'regular file',
  types: [FdType.REG],
  // A name under /proc/self is another file for each process; that of a socket may come with the socket.
  isShareable: (file) => !namedEntry(file).name.startsWith('/proc/') && !isSocketName(file),
  describe: (file) => `file ${namedEntry(file).name}`,
  check: (file, situation) => checkNamed(file, situation),
  open(context) {
    const { ops, file, slot } = context
    const { fown, flags, pos } = namedEntry(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const newFd = openNamed(context, file)
    if (newFd === undefined) return { status: 1 }
    if (pos !== 0n && pos !== NO_POSITION && (flags & O_PATH) === 0)
      ops.call('lseek', [{ slot: newFd }, pos, SEEK_SET], { expect: pos })
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}
