import { FdType, type SignalfdEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import type { FileKind } from './kind.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

const entryOf = (file: File): SignalfdEntry => file.entry.sgfd as SignalfdEntry

const NEW = -1

/** Descriptors that signals are read from (signalfd(2)). Which signals wait is a matter of the process, not of the file. */
export const signalfdKind: FileKind = {
  name: 'signalfd',
  types: [FdType.SIGNALFD],
  isShareable: () => true,
  describe: (file) => `signalfd for ${namesOf(entryOf(file).sigmask)}`,
  open(context) {
    const { ops, file, cloexec, slot } = context
    const { flags, fown, sigmask } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const mask = Buffer.alloc(8)
    mask.writeBigUInt64LE(sigmask)
    const told = flags & O_NONBLOCK
    const newFd = ops.open('signalfd4', [NEW, { bytes: mask }, mask.length, told | (cloexec ? O_CLOEXEC : 0)])
    setStatusFlags(ops, newFd, flags, told)
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function namesOf(mask: bigint): string {
  const numbers = Array.from({ length: 64 }, (_, bit) => bit + 1).filter(
    (signal) => (mask & (1n << BigInt(signal - 1))) !== 0n,
  )
  return numbers.length === 0 ? 'no signals' : `signals ${numbers.join(', ')}`
}
