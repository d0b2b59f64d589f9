import { FdType, type EventfdFileEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { FileKind } from './kind.ts'
import { O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import { hasOwner, restoreOwner } from './owner.ts'

const EFD_SEMAPHORE = 1

const entryOf = (file: File): EventfdFileEntry => file.entry.efd as EventfdFileEntry

/** Counters (eventfd(2)), with all 64 bits: the value is written, as the argument of the call has only 32. */
export const eventfdKind: FileKind = {
  name: 'eventfd',
  types: [FdType.EVENTFD],
  isShareable: () => true,
  describe: (file) => `eventfd that counts ${entryOf(file).counter}`,
  open(context) {
    const { ops, file, cloexec, slot } = context
    const { flags, fown, counter, semaphore } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const kind = semaphore ? EFD_SEMAPHORE : 0
    const newFd = ops.open('eventfd2', [0, (flags & O_NONBLOCK) | (cloexec ? O_CLOEXEC : 0) | kind])
    if (counter > 0n) ops.write(newFd, bytesOf(counter))
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function bytesOf(counter: bigint): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(counter)
  return bytes
}
