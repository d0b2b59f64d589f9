import { FdType, has, type FdinfoEntry, type ImageSet, type TaskImages } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File, Fle } from './file.ts'
import { checkPackets } from './packets.ts'
import type { DescriptorTable, Surroundings, Task } from './task.ts'

/** The processes of a set of images, their tables, and the files in these. */
export interface Model {
  /** Parents before children. */
  readonly tasks: readonly Task[]
  readonly tables: readonly DescriptorTable[]
  /** By id, in the order of the image; those too that no table holds. */
  readonly files: ReadonlyMap<number, File>
  taskOf(pid: number): Task | undefined
}

/**
 * What the images say, as objects that know each other. What they say of each other has to fit: the problems are what
 * does not, all of them; then the model has what could be understood.
 */
export function buildModel(images: ImageSet): { model: Model; problems: Problem[] } {
  const problems: Problem[] = []
  const files = buildFiles(images, problems)
  const tasks = buildTasks(images, problems)
  const known = new Map(images.tasks.map((task) => [task.pstree.pid, task]))
  const tables = new Map<number, DescriptorTable>()
  const surroundings = new Map<number, Surroundings>()
  for (const task of tasks) {
    const image = known.get(task.pid)
    if (image === undefined) continue
    shareTable(task, image, tables)
    shareSurroundings(task, image, { surroundings, files, problems })
  }
  for (const table of tables.values())
    fillTable(table, images.tables.get(table.id) ?? [], { files, problems })
  problems.push(...checkPackets(images, files))
  for (const { fles } of files.values()) if (fles.length > 1) (fles as Fle[]).sort(byMaster)
  const byPid = new Map(tasks.map((task) => [task.pid, task]))
  const model = { tasks, tables: [...tables.values()], files, taskOf: (pid: number) => byPid.get(pid) }
  return { model, problems }
}

/** The master is the descriptor with the lowest process id, and there the lowest number. */
function byMaster(one: Fle, other: Fle): number {
  return one.table.owner.pid - other.table.owner.pid || one.fd - other.fd
}

/** A file while it is built. Most have one descriptor: an array that grows would have room for many. */
type FileDraft = { -readonly [Key in keyof File]: File[Key] }

const NO_FLES: readonly Fle[] = []

function addFle(file: FileDraft, fle: Fle): void {
  if (file.fles === NO_FLES) file.fles = [fle]
  else (file.fles as Fle[]).push(fle)
}

function buildFiles(images: ImageSet, problems: Problem[]): Map<number, File> {
  const files = new Map<number, File>()
  for (const entry of images.files) {
    const { id, type } = entry
    const known = files.get(id)
    // The path and the flags of one of these are in a file of the same id.
    if (known?.type === FdType.REG && type === FdType.TUNF) files.delete(id)
    else if (known !== undefined) {
      const message = `two files have the id ${id}: the images are damaged`
      problems.push({ reason: 'duplicate-file', message, image: 'files.img', file: id })
      continue
    }
    files.set(id, { id, type, entry, fles: NO_FLES })
  }
  return files
}

/** A task while it is built. */
type TaskDraft = { -readonly [Key in keyof Task]: Task[Key] }

type Unfinished = Omit<TaskDraft, 'table' | 'surroundings'> &
  Partial<Pick<TaskDraft, 'table' | 'surroundings'>>

function buildTasks(images: ImageSet, problems: Problem[]): Task[] {
  const complain = (pid: number, reason: string, message: string): void => {
    problems.push({ reason, message, image: 'pstree.img', pid })
  }
  const entries = new Map<number, TaskImages>()
  for (const task of images.tasks) {
    const { pid } = task.pstree
    if (entries.has(pid))
      complain(pid, 'duplicate-pid', `process ${pid} is there twice: the images are damaged`)
    else entries.set(pid, task)
  }
  const children = new Map<number, TaskImages[]>()
  const roots: TaskImages[] = []
  for (const task of entries.values()) {
    const { pid, ppid } = task.pstree
    if (ppid === 0) roots.push(task)
    else if (entries.has(ppid)) children.set(ppid, [...(children.get(ppid) ?? []), task])
    else complain(pid, 'no-parent', `the parent ${ppid} of process ${pid} is not in the images`)
  }
  const made: TaskDraft[] = []
  const make = (image: TaskImages, parent: TaskDraft | undefined): void => {
    const { pid, pgid, sid } = image.pstree
    const index = made.length + 1
    // The rest is set before anybody sees it: a table knows its owner, and that its table.
    const unfinished: Unfinished = { index, pid, parent, children: [], pgid, sid }
    const task = unfinished as TaskDraft
    made.push(task)
    parent?.children.push(task)
    for (const child of children.get(pid) ?? []) make(child, task)
  }
  for (const root of roots) make(root, undefined)
  if (made.length < entries.size) {
    const lost = [...entries.keys()].filter((pid) => !made.some((task) => task.pid === pid))
    const first = lost[0] ?? 0
    if (problems.length === 0 || lost.every((pid) => isInCircle(pid, entries)))
      complain(
        first,
        'ppid-cycle',
        `the processes ${lost.join(', ')} have each other as parents: none can be made first`,
      )
  }
  return made
}

function isInCircle(pid: number, entries: ReadonlyMap<number, TaskImages>): boolean {
  const seen = new Set<number>()
  let at: number | undefined = pid
  while (at !== undefined && !seen.has(at)) {
    seen.add(at)
    at = entries.get(at)?.pstree.ppid
  }
  return at !== undefined
}

function shareTable(task: Task, image: TaskImages, tables: Map<number, DescriptorTable>): void {
  // A process without one, as a zombie, has one of its own that is empty.
  const id = image.table ?? -task.pid
  const table = tables.get(id) ?? { id, owner: task, sharers: [], fles: [] }
  tables.set(id, table)
  table.sharers.push(task)
  ;(task as TaskDraft).table = table
}

interface Surrounded {
  readonly surroundings: Map<number, Surroundings>
  readonly files: ReadonlyMap<number, File>
  readonly problems: Problem[]
}

function shareSurroundings(task: Task, { fs, ids }: TaskImages, where: Surrounded): void {
  const id = ids?.fsId ?? -task.pid
  const known = where.surroundings.get(id)
  const fileOf = (fileId: number | undefined, what: string): File | undefined => {
    if (fileId === undefined) return undefined
    const file = where.files.get(fileId)
    if (file === undefined) {
      const message = `the ${what} of process ${task.pid} is file ${fileId}, which is not in the images`
      where.problems.push({
        reason: 'no-file',
        message,
        image: `fs-${task.pid}.img`,
        pid: task.pid,
        file: fileId,
      })
    }
    return file
  }
  const made: Surroundings = known ?? {
    id,
    owner: task,
    sharers: [],
    root: fileOf(fs?.rootId, 'root'),
    workingDirectory: fileOf(fs?.cwdId, 'working directory'),
    umask: fs !== undefined && has(fs, 'umask') ? fs.umask : undefined,
  }
  where.surroundings.set(id, made)
  made.sharers.push(task)
  ;(task as TaskDraft).surroundings = made
}

function fillTable(
  table: DescriptorTable,
  entries: readonly FdinfoEntry[],
  { files, problems }: { files: ReadonlyMap<number, File>; problems: Problem[] },
): void {
  const { pid } = table.owner
  const numbers = new Set<number>()
  for (const entry of entries) {
    const { fd, id, flags } = entry
    const file = files.get(id)
    const fault = faultOf(entry, file, pid, numbers)
    numbers.add(fd)
    if (fault !== undefined) problems.push({ ...fault, image: `fdinfo-${table.id}.img`, pid, fd, file: id })
    if (file === undefined || fault !== undefined) continue
    const fle = { file, table, fd, cloexec: (flags & 1) !== 0 }
    table.fles.push(fle)
    addFle(file, fle)
  }
  table.fles.sort((one, other) => one.fd - other.fd)
}

function faultOf(
  { fd, id, type }: FdinfoEntry,
  file: File | undefined,
  pid: number,
  numbers: ReadonlySet<number>,
): Pick<Problem, 'reason' | 'message'> | undefined {
  if (numbers.has(fd))
    return {
      reason: 'duplicate-fd',
      message: `process ${pid} has descriptor ${fd} twice: the images are damaged`,
    }
  if (file === undefined)
    return {
      reason: 'fd-without-file',
      message: `descriptor ${fd} of process ${pid} is file ${id}, which is not in the images`,
    }
  if (file.type !== type)
    return {
      reason: 'type-mismatch',
      message: `descriptor ${fd} of process ${pid} is of another type than its file ${id}`,
    }
  return undefined
}
