import { existsSync } from 'node:fs'
import { FdType, has, type RegFileEntry, type TunfileEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { AT_FDCWD, O_ASYNC, O_CLOEXEC, O_RDWR, onlyAtCreation } from './flags.ts'
import type { FileKind, Situation } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { setStatusFlags } from './status-flags.ts'

const entryOf = (file: File): TunfileEntry => file.entry.tunf as TunfileEntry

const DEVICE = '/dev/net/tun'

/**
 * Files of the tunnel driver that belong to no network device (yet). A device is a part of a network namespace, and what
 * it was is in the image of that: those are not restored.
 */
export const tunKind: FileKind = {
  name: 'tunnel',
  types: [FdType.TUNF],
  describe: (file) => `tunnel ${deviceOf(file) ?? 'without a device'}`,
  *check(file, situation) {
    const about = { image: 'files.img', file: file.id, ...placeOf(file) }
    const device = deviceOf(file)
    const path = pathOf(file, situation)
    if (device !== undefined) {
      const message = `file ${file.id} belongs to the network device ${device}, a part of a network namespace: those are not restored`
      yield { reason: 'unsupported', message, ...about }
    } else if (!existsSync(path)) {
      const message = `${path} is not there: load the module tun, or map the path`
      yield { reason: 'file-missing', message, ...about }
    }
  },
  open(context) {
    const { file, ops, slot, cloexec } = context
    const named = namedOf(file, context)
    if (slot !== undefined) return restoreOwner(context, named?.fown)
    const flags = named?.flags ?? O_RDWR
    const told = flags & ~(onlyAtCreation | O_ASYNC)
    const path = { text: pathOf(file, context) }
    const newFd = ops.open('openat', [AT_FDCWD, path, told | (cloexec ? O_CLOEXEC : 0), 0])
    setStatusFlags(ops, newFd, flags, told)
    return { status: hasOwner(named?.fown) ? 1 : 0, newFd }
  },
}

function deviceOf(file: File): string | undefined {
  const entry = entryOf(file)
  return has(entry, 'netdev') && entry.netdev !== '' ? entry.netdev : undefined
}

/** The regular file of the same id, which has the path and the flags. */
function namedOf({ id }: File, { images }: Situation): RegFileEntry | undefined {
  return images.files.find((entry) => entry.type === FdType.REG && entry.id === id)?.reg
}

function pathOf(file: File, situation: Situation): string {
  return situation.path(namedOf(file, situation)?.name ?? DEVICE)
}
