import type { Problem } from '../errors.ts'
import { FdType, type FileLockEntry, type ImageSet } from '../images/index.ts'
import { builtInKinds } from '../kinds/built-in.ts'
import { kindFinder } from '../kinds/kind-finder.ts'
import type { FileKind } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import { buildModel } from '../model/model.ts'
import type { Task } from '../model/task.ts'
import { BREAKING, F_WRLCK, lockNames, type LockFlag } from '../plan/lock.ts'
import { situationOf } from '../plan/situation.ts'
import { detailsOf, type Attached } from './file-details.ts'

/** Images in words. */
export interface ImagesDescription {
  /** Parents before children. */
  readonly processes: readonly ProcessDescription[]
  /** Files that no table holds: those in flight, and where processes work. */
  readonly others: readonly FileDescription[]
  /** What the images say of each other and does not fit. */
  readonly problems: readonly Problem[]
}

export interface ProcessDescription {
  readonly pid: number
  readonly parent: number | undefined
  readonly group: number
  readonly session: number
  /** Name of the command. */
  readonly command: string | undefined
  /** The process in whose table its descriptors are, when that is another one. */
  readonly tableOf: number | undefined
  readonly workingDirectory: string | undefined
  readonly root: string | undefined
  readonly umask: number | undefined
  /** By ascending number. */
  readonly descriptors: readonly DescriptorDescription[]
  /** Locks and leases that it holds. */
  readonly locks: readonly string[]
}

export interface FileDescription {
  /** Id of the file in the images. */
  readonly file: number
  /** "pipe 81, write end". */
  readonly words: string
  /** What else there is to say: "non-blocking", "2 messages wait in it". */
  readonly details: readonly string[]
}

export interface DescriptorDescription extends FileDescription {
  readonly fd: number
  readonly cloexec: boolean
  /** The other descriptors of the same description, of any process. */
  readonly sharedWith: readonly { readonly pid: number; readonly fd: number }[]
}

export interface DescribeOptions {
  /** Kinds of files, by which they are described. Default {@link builtInKinds}. */
  readonly kinds?: readonly FileKind[]
}

/** Images as a person reads them, also such as cannot be restored. */
export function describeImages(
  images: ImageSet,
  { kinds = builtInKinds }: DescribeOptions = {},
): ImagesDescription {
  const { model, problems } = buildModel(images)
  const situation = situationOf({ images, model, map: undefined, networkNamespace: undefined, warnings: [] })
  const kindOf = kindFinder(kinds)
  const attached = attachedOf(images)
  const known = new Map<File, FileDescription>()
  const describe = (file: File): FileDescription => {
    const words = known.get(file) ?? {
      file: file.id,
      words: kindOf(file)?.describe(file, situation) ?? `${typeName(file)} ${file.id}`,
      details: detailsOf(file, attached),
    }
    known.set(file, words)
    return words
  }
  const commands = new Map(images.tasks.map(({ pstree, core }) => [pstree.pid, core?.tc?.comm]))
  const isWorking = workingPlaces(model.tasks)
  return {
    processes: model.tasks.map((task) => ({
      ...processOf(task, describe),
      command: commands.get(task.pid),
      locks: images.locks.filter(({ pid }) => pid === task.pid).map(lockInWords),
    })),
    others: [...model.files.values()]
      .filter((file) => file.fles.length === 0 && !isWorking.has(file) && !isProgram(file, images))
      .map(describe),
    problems,
  }
}

function processOf(
  task: Task,
  describe: (file: File) => FileDescription,
): Omit<ProcessDescription, 'command' | 'locks'> {
  const { pid, parent, pgid, sid, table, surroundings } = task
  const isOwner = table.owner === task
  return {
    pid,
    parent: parent?.pid,
    group: pgid,
    session: sid,
    tableOf: isOwner ? undefined : table.owner.pid,
    workingDirectory: surroundings.workingDirectory?.entry.reg?.name,
    root: surroundings.root?.entry.reg?.name,
    umask: surroundings.umask,
    descriptors: (isOwner ? table.fles : []).map(({ fd, cloexec, file }) => ({
      fd,
      cloexec,
      ...describe(file),
      sharedWith: file.fles
        .filter((fle) => fle.fd !== fd || fle.table !== table)
        .map((fle) => ({ pid: fle.table.owner.pid, fd: fle.fd })),
    })),
  }
}

function workingPlaces(tasks: readonly Task[]): ReadonlySet<File | undefined> {
  return new Set(tasks.flatMap(({ surroundings }) => [surroundings.root, surroundings.workingDirectory]))
}

function isProgram({ id }: File, images: ImageSet): boolean {
  return images.tasks.some(({ mm }) => mm?.exeFileId === id)
}

function attachedOf(images: ImageSet): Attached {
  const messages = new Map<number, { count: number; rights: number }>()
  for (const { entry } of images.packets) {
    const queue = messages.get(entry.idFor) ?? { count: 0, rights: 0 }
    messages.set(entry.idFor, queue)
    queue.count++
    for (const { rights } of entry.scm) queue.rights += rights.length
  }
  const bytes = new Map([...images.pipes, ...images.fifos].map(({ entry }) => [entry.pipeId, entry.bytes]))
  const deleted = new Set(images.remaps.map(({ origId }) => origId))
  return { deleted, messages, bytes, streams: images.streams }
}

function typeName({ type }: File): string {
  return Object.entries(FdType).find(([, number]) => number === type)?.[0] ?? `type ${type}`
}

function lockInWords({ flag, type, fd, start, len }: FileLockEntry): string {
  const name = lockNames[flag as LockFlag]
  const mode = (type & ~BREAKING) === F_WRLCK ? 'to write' : 'to read'
  const state = (type & BREAKING) === 0 ? '' : ', being broken'
  const isWhole = start === 0n && len === 0n
  const extent = isWhole ? '' : `, ${len === 0n ? 'all' : String(len)} bytes from ${start} on`
  return `${name} ${mode} by descriptor ${fd}${extent}${state}`
}
