import type { Problem } from '../errors.ts'
import { FdType, type NsFileEntry, type TaskKobjIdsEntry } from '../images/index.ts'
import type { File } from '../model/file.ts'
import { AT_FDCWD, O_CLOEXEC, onlyAtCreation } from './flags.ts'
import type { FileKind, Situation } from './kind.ts'
import { placeOf } from './named.ts'

const entryOf = (file: File): NsFileEntry => file.entry.nsf as NsFileEntry

interface NamespaceKind {
  /** Under /proc/PID/ns. */
  readonly name: string
  /** Which of its numbers a process has of it. */
  readonly idOf: (ids: TaskKobjIdsEntry) => number
}

/** By their flags of clone(2). */
const kinds: ReadonlyMap<number, NamespaceKind> = new Map([
  [0x00000080, { name: 'time', idOf: (ids) => ids.timeNsId }],
  [0x00020000, { name: 'mnt', idOf: (ids) => ids.mntNsId }],
  [0x02000000, { name: 'cgroup', idOf: (ids) => ids.cgroupNsId }],
  [0x04000000, { name: 'uts', idOf: (ids) => ids.utsNsId }],
  [0x08000000, { name: 'ipc', idOf: (ids) => ids.ipcNsId }],
  [0x10000000, { name: 'user', idOf: (ids) => ids.userNsId }],
  [0x20000000, { name: 'pid', idOf: (ids) => ids.pidNsId }],
  [0x40000000, { name: 'net', idOf: (ids) => ids.netNsId }],
])

/**
 * Namespaces held by descriptors (namespaces(7)). All processes are restored in one set of namespaces; a file of the one
 * that the images' processes were in is one of that.
 */
export const namespaceKind: FileKind = {
  name: 'namespace',
  types: [FdType.NS],
  isShareable: () => true,
  describe: (file) => `${kinds.get(entryOf(file).nsCflag)?.name ?? 'unknown'} namespace`,
  check: (file, situation) => check(file, situation),
  open({ file, ops, cloexec }) {
    const { flags, nsCflag } = entryOf(file)
    const path = `/proc/self/ns/${kinds.get(nsCflag)?.name ?? ''}`
    const whole = (flags & ~onlyAtCreation) | (cloexec ? O_CLOEXEC : 0)
    return { status: 0, newFd: ops.open('openat', [AT_FDCWD, { text: path }, whole, 0]) }
  },
}

function* check(file: File, { images }: Situation): Iterable<Problem> {
  const { nsId, nsCflag } = entryOf(file)
  const wrong = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
    ...placeOf(file),
  })
  const kind = kinds.get(nsCflag)
  if (kind === undefined) {
    const message = `file ${file.id} is a namespace of the unknown kind 0x${nsCflag.toString(16)}`
    yield wrong('unknown-kind', message)
    return
  }
  const ids = [images.inventory.rootIds, ...images.tasks.map((task) => task.ids)].flatMap(
    (each) => each ?? [],
  )
  const inUse = new Set(images.tasks.flatMap((task) => (task.ids === undefined ? [] : [kind.idOf(task.ids)])))
  if (!ids.some((each) => kind.idOf(each) === nsId))
    yield wrong(
      'namespace-outside',
      `file ${file.id} is a ${kind.name} namespace that no process of the images was in: it cannot be told which one that is now`,
    )
  else if (!inUse.has(nsId) || inUse.size > 1)
    yield wrong(
      'unsupported',
      `file ${file.id} is one of several ${kind.name} namespaces of the images, and all processes are restored in one`,
    )
}
