import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeImages, type ImageSet } from '@x/restore'
import {
  CoreEntrySchema,
  FdType,
  FdinfoEntrySchema,
  FileEntrySchema,
  InventoryEntrySchema,
  PipeDataEntrySchema,
  PstreeEntrySchema,
  makeMessage,
  type FdinfoEntry,
  type FileEntry,
  type TaskImages,
} from '@x/restore/images'
import { temporaryFolder } from './temporary-folder.ts'

export const parent = 4001
export const child = 4002

const fown = { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 }
const O_RDWR = 2
const O_WRONLY = 1
const O_NONBLOCK = 0o4000

const regular = (id: number, name: string, pos = 0n): FileEntry =>
  makeMessage(FileEntrySchema, { type: FdType.REG, id, reg: { id, flags: O_RDWR, pos, fown, name } })

const pipe = (id: number, flags: number): FileEntry =>
  makeMessage(FileEntrySchema, { type: FdType.PIPE, id, pipe: { id, pipeId: 77, flags, fown } })

const eventfd = (id: number, counter: bigint): FileEntry =>
  makeMessage(FileEntrySchema, {
    type: FdType.EVENTFD,
    id,
    efd: { id, flags: O_RDWR | O_NONBLOCK, fown, counter },
  })

/** `[number, file, close-on-exec?]`. */
type Given = readonly [fd: number, file: FileEntry, cloexec?: boolean]

const table = (given: readonly Given[]): FdinfoEntry[] =>
  given.map(([fd, { id, type }, cloexec = false]) =>
    makeMessage(FdinfoEntrySchema, { id, type, fd, flags: cloexec ? 1 : 0 }),
  )

const task = (pid: number, ppid: number, comm: string): TaskImages => ({
  pstree: makeMessage(PstreeEntrySchema, { pid, ppid, pgid: parent, sid: parent, threads: [pid] }),
  core: makeMessage(CoreEntrySchema, {
    mtype: 1,
    tc: { taskState: 1, exitCode: 0, personality: 0, flags: 0, blkSigset: 0n, comm },
  }),
  table: pid,
})

/** Images of two processes that share some descriptors, in a folder of their own; and what they have open. */
export interface Family {
  readonly images: string
  readonly folder: string
  readonly set: ImageSet
}

/** Process 4001 has a log, both ends of a pipe and a counter; its child 4002 shares the log, and reads the pipe. */
export async function family(change: (set: ImageSet) => ImageSet = (set) => set): Promise<Family> {
  const folder = temporaryFolder()
  const log = join(folder, 'log')
  writeFileSync(log, 'one line\n')
  const images = join(folder, 'images')
  const files = {
    null: regular(1, '/dev/null'),
    log: regular(2, log, 9n),
    read: pipe(3, 0),
    write: pipe(4, O_WRONLY),
    counter: eventfd(5, 7n),
  }
  const set = change({
    inventory: makeMessage(InventoryEntrySchema, { imgVersion: 2, fdinfoPerId: false }),
    tasks: [task(parent, 0, 'parent'), task(child, parent, 'child')],
    tables: new Map([
      [
        parent,
        table([
          [0, files.null],
          [1, files.null],
          [2, files.log],
          [5, files.write, true],
          [9, files.counter],
        ]),
      ],
      [
        child,
        table([
          [0, files.read],
          [2, files.log],
        ]),
      ],
    ]),
    files: Object.values(files),
    remaps: [],
    ghosts: new Map(),
    pipes: [
      {
        entry: makeMessage(PipeDataEntrySchema, { pipeId: 77, bytes: 5, size: 65536 }),
        data: Buffer.from('hello'),
      },
    ],
    fifos: [],
    packets: [],
    streams: new Map(),
    ttys: [],
    ttyData: [],
    memfds: [],
    locks: [],
    present: [],
    missing: [],
  })
  await writeImages(images, set)
  return { images, folder, set }
}
