import type { Problem } from '../errors.ts'
import { FdType, has, type Memfd, type MemfdFileEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import type { PlanNode } from '../plan/node.ts'
import { AT_FDCWD, O_CLOEXEC, O_LARGEFILE } from './flags.ts'
import type { FileKind, OpenContext, Situation, StepContext } from './kind.ts'
import { placeOf } from './named.ts'
import { hasOwner, restoreOwner } from './owner.ts'

const MFD_ALLOW_SEALING = 2
const MFD_HUGETLB = 4
const F_ADD_SEALS = 1033
/** No more seals can be added: what a memfd has that was made without MFD_ALLOW_SEALING. */
const F_SEAL_SEAL = 1
const USUAL_MODE = 0o777
const SEEK_SET = 0

const entryOf = (file: File): MemfdFileEntry => file.entry.memfd as MemfdFileEntry

/** Files in memory (memfd_create(2)): one inode with content and seals, and any number of descriptions of it. */
export const memfdKind: FileKind = {
  name: 'memfd',
  types: [FdType.MEMFD],
  isShareable: () => true,
  describe: (file, situation) =>
    `memfd ${inodeOf(file, situation)?.inode.name ?? String(entryOf(file).inodeId)}`,
  *check(file, situation) {
    if (inodeOf(file, situation) === undefined) yield missing(file)
  },
  open(context) {
    const { file, slot, ops, cloexec } = context
    const { flags, pos, fown } = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, fown)
    const memfd = inodeOf(file, context)
    if (memfd === undefined) return { status: -1, problem: missing(file) }
    const node = inodeNode(context, memfd)
    if (!context.need(node, 'restored')) return { status: 1 }
    const whole = wholeSlot(node, context)
    const wanted = (flags & ~O_LARGEFILE) | (cloexec ? O_CLOEXEC : 0)
    const newFd = ops.open('openat', [AT_FDCWD, { path: whole }, wanted, 0])
    if (pos !== 0n) ops.call('lseek', [{ slot: newFd }, pos, SEEK_SET], { expect: pos })
    return { status: hasOwner(fown) ? 1 : 0, newFd }
  },
}

function inodeOf(file: File, { once, images }: Situation): Memfd | undefined {
  const byId = once('memfds', () => new Map(images.memfds.map((each) => [each.inode.inodeId, each])))
  return byId.get(BigInt(entryOf(file).inodeId))
}

/** Makes the inode with its content, in the task that needs it first. Seals follow when all descriptions are there. */
function inodeNode(context: OpenContext, memfd: Memfd): PlanNode {
  const { task } = context
  const name = `memfd ${memfd.inode.name}, inode ${memfd.inode.inodeId}`
  return context.shared(name, () => ({ task, label: name, run: (step) => makeInode(step, memfd) }))
}

function makeInode(step: StepContext, { inode, runs }: Memfd): { status: 0; newFd: number } {
  const { ops } = step
  const { name, seals, size, uid, gid } = inode
  const isSealable = (seals & F_SEAL_SEAL) === 0 || seals !== F_SEAL_SEAL
  const flags =
    (isSealable ? MFD_ALLOW_SEALING : 0) | (has(inode, 'hugetlbFlag') ? MFD_HUGETLB | inode.hugetlbFlag : 0)
  const newFd = ops.open('memfd_create', [{ text: name }, flags])
  for (const { at, data } of runs) if (data !== undefined) ops.fill(newFd, data, Number(at))
  ops.call('ftruncate', [{ slot: newFd }, size])
  if (uid !== 0 || gid !== 0) ops.call('fchown', [{ slot: newFd }, uid, gid])
  const mode = has(inode, 'mode') ? inode.mode & 0o7777 : USUAL_MODE
  if (mode !== USUAL_MODE) ops.call('fchmod', [{ slot: newFd }, mode])
  if (isSealable && seals !== 0)
    step.afterOpens(undefined, () => {
      ops.call('fcntl', [{ slot: newFd }, F_ADD_SEALS, seals])
    })
  return { status: 0, newFd }
}

function wholeSlot(node: PlanNode, { ops }: OpenContext): number {
  const maker = node.task?.index ?? 0
  const slot = node.slot ?? 0
  return maker === ops.task ? slot : ops.fetch(maker, slot)
}

function missing(file: File): Problem {
  const message = `the memory of a memfd, inode ${entryOf(file).inodeId}, is not in memfd.img`
  return { reason: 'memfd-missing', message, image: 'memfd.img', file: file.id, ...placeOf(file) }
}
