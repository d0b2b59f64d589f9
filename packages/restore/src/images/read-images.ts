import type { MessageValidType } from '@bufbuild/protobuf'
import { controlsOf } from './control-characters.ts'
import { checkFile } from './file-kinds.ts'
import { Folder } from './folder.ts'
import {
  CORE,
  FDINFO,
  FIFO_DATA,
  FILE_LOCKS,
  FILES,
  FS,
  IDS,
  INVENTORY,
  MEMFD_INODE,
  MM,
  PIPES_DATA,
  PSTREE,
  REMAP_FPATH,
  SK_QUEUES,
  TCP_STREAM,
  TTY_DATA,
  TTY_INFO,
  type Format,
} from './format.ts'
import { ghostImage, readGhost } from './ghost.ts'
import type { Ghost, ImageSet, Memfd, TaskImages, TcpStream, Tty } from './image-set.ts'
import { legacyFiles } from './legacy.ts'
import { pagemapImage, readMemfd } from './memfd.ts'
import {
  has,
  makeMessage,
  RemapFilePathEntrySchema,
  RemapType,
  type FdinfoEntry,
  type FileEntry,
  type InventoryEntry,
  type PipeDataEntrySchema,
  type PstreeEntry,
  type RemapFilePathEntry,
  type SkPacketEntrySchema,
  type TtyInfoEntry,
} from './messages.ts'
import type { Payload } from './payload.ts'
import { allowanceOf, type Allowance, type ReadOptions } from './read-options.ts'
import { refuse } from './refusal.ts'
import { inSlices, type Work } from './slices.ts'

/**
 * Reads all images of a folder that matter for descriptors, of CRIU or of this package's writer, with or without an
 * image `files`. Nothing outside of the folder is looked at, and the folder is not changed.
 *
 * Throws a RestoreError with one {@link Problem} for each image that is refused, whose `reason` is
 * - `no-inventory`, `no-pstree`: it is absent, or has no record;
 * - `unknown-version`: img_version is neither 1 nor 2;
 * - `bad-magic`: it is no image of its kind;
 * - `truncated-record`, `malformed-record`: a record is not as long as it says, or is no message;
 * - `missing-field`, `surplus-field`, `id-mismatch`, `unknown-type`, `not-text`: a message lacks a field, named as
 *   `PipeEntry.pipe_id`; has one that its type excludes, or another id than its file; an enumeration has a value that
 *   is not known; a text is not UTF-8;
 * - `missing-record`, `surplus-record`: it has not the one record that it should have;
 * - `payload-short`: what should follow a record does not;
 * - `bad-extent`: pages or chunks overlap, or are in disorder;
 * - `no-file`: a watch belongs to no file;
 * - `record-too-long`, `too-many-records`, `payload-too-long`: see {@link ReadOptions.limits};
 * - `unreadable`: the system refuses it (`errno` says why), or it is not a regular file;
 * - `bad-option`: options are wrong.
 */
export async function readImages(folder: string, options: ReadOptions = {}): Promise<ImageSet> {
  const allowance = allowanceOf(options)
  return await inSlices(readSet(folder, allowance), options.signal)
}

function* readSet(path: string, allowance: Allowance): Work<ImageSet> {
  const folder = new Folder(path, allowance)
  const inventory = yield* readInventory(folder)
  const tasks = yield* readTasks(folder, inventory)
  const ghosts = yield* readGhosts(folder)
  const remaps = (yield* folder.messages('remap-fpath.img', REMAP_FPATH)).map(withType)
  const memfds = yield* readMemfds(folder)
  const set: ImageSet = {
    inventory,
    tasks,
    tables: yield* readTables(folder, tasks),
    files: yield* readFiles(folder),
    remaps,
    ghosts,
    pipes: yield* withData(folder, 'pipes-data.img', PIPES_DATA),
    fifos: yield* withData(folder, 'fifo-data.img', FIFO_DATA),
    packets: yield* withData(folder, 'sk-queues.img', SK_QUEUES),
    streams: yield* readStreams(folder),
    ttys: yield* readTtys(folder),
    ttyData: yield* folder.messages('tty-data.img', TTY_DATA),
    memfds,
    locks: yield* folder.messages('filelocks.img', FILE_LOCKS),
    present: [...folder.names].filter((name) => name.endsWith('.img')).sort(),
    missing: missingOf(folder.names, remaps, memfds),
  }
  folder.end()
  return set
}

function* readInventory(folder: Folder): Work<InventoryEntry> {
  const image = 'inventory.img'
  const record = yield* folder.single(image, INVENTORY)
  folder.end()
  if (record === undefined) return refuse('no-inventory', image, 'it is absent: this is no folder of images')
  const { imgVersion } = record.message
  if (imgVersion !== 1 && imgVersion !== 2) {
    return refuse('unknown-version', image, `the images have version ${imgVersion}, and 1 and 2 are known`)
  }
  folder.version = imgVersion
  return record.message
}

function* readTasks(folder: Folder, inventory: InventoryEntry): Work<TaskImages[]> {
  const image = 'pstree.img'
  const entries = yield* folder.messages(image, PSTREE)
  folder.end()
  if (entries.length === 0) return refuse('no-pstree', image, 'it is absent, or lists no process')
  const tasks: TaskImages[] = []
  for (const pstree of entries) tasks.push(yield* readTask(folder, inventory, pstree))
  return tasks
}

function* readTask(folder: Folder, inventory: InventoryEntry, pstree: PstreeEntry): Work<TaskImages> {
  const { pid } = pstree
  const core = (yield* folder.single(`core-${pid}.img`, CORE))?.message
  const ids = (yield* folder.single(`ids-${pid}.img`, IDS))?.message ?? core?.ids
  const fs = (yield* folder.single(`fs-${pid}.img`, FS))?.message
  const mm = (yield* folder.single(`mm-${pid}.img`, MM))?.message
  const table = inventory.fdinfoPerId ? ids?.filesId : folder.names.has(tableImage(pid)) ? pid : undefined
  return {
    pstree,
    ...(ids && { ids }),
    ...(core && { core }),
    ...(fs && { fs }),
    ...(mm && { mm }),
    ...(table !== undefined && { table }),
  }
}

const tableImage = (key: number): string => `fdinfo-${key}.img`

function* readTables(folder: Folder, tasks: readonly TaskImages[]): Work<Map<number, FdinfoEntry[]>> {
  const keys = new Set(tasks.map(({ table }) => table).filter((table) => table !== undefined))
  for (const key of folder.numbers('fdinfo', 10)) keys.add(key)
  const tables = new Map<number, FdinfoEntry[]>()
  for (const key of keys) tables.set(key, yield* folder.messages(tableImage(key), FDINFO))
  return tables
}

function* readFiles(folder: Folder): Work<FileEntry[]> {
  const image = 'files.img'
  if (!folder.names.has(image)) return yield* legacyFiles(folder)
  const files = yield* folder.messages(image, FILES)
  folder.check(() => {
    for (const file of files) checkFile(file, image)
  })
  return files
}

// Before there were types, bit 31 said that it is a ghost.
function withType(remap: RemapFilePathEntry): RemapFilePathEntry {
  if (has(remap, 'remapType')) return remap
  const ghost = remap.remapId >= 2 ** 31
  return makeMessage(RemapFilePathEntrySchema, {
    origId: remap.origId,
    remapId: ghost ? remap.remapId - 2 ** 31 : remap.remapId,
    remapType: ghost ? RemapType.GHOST : RemapType.LINKED,
  })
}

function* readGhosts(folder: Folder): Work<Map<number, Ghost>> {
  const ghosts = new Map<number, Ghost>()
  for (const number of folder.numbers('ghost-file', 16)) {
    const ghost = yield* folder.attempt(() => readGhost(folder, ghostImage(number)))
    if (ghost !== undefined) ghosts.set(number, ghost)
  }
  return ghosts
}

function* withData<Schema extends typeof PipeDataEntrySchema | typeof SkPacketEntrySchema>(
  folder: Folder,
  image: string,
  format: Format<Schema>,
): Work<{ entry: MessageValidType<Schema>; data: Payload }[]> {
  const records = yield* folder.records(image, format)
  return records.map(({ message, payloads }) => ({ entry: message, data: payloads[0] as Payload }))
}

function* readStreams(folder: Folder): Work<Map<number, TcpStream>> {
  const streams = new Map<number, TcpStream>()
  for (const inode of folder.numbers('tcp-stream', 16)) {
    const record = yield* folder.single(`tcp-stream-${inode.toString(16)}.img`, TCP_STREAM)
    if (record === undefined) continue
    const [inq, outq] = record.payloads as [Payload, Payload]
    streams.set(inode, { entry: record.message, inq, outq })
  }
  return streams
}

function* readTtys(folder: Folder): Work<Tty[]> {
  const image = 'tty-info.img'
  const entries = yield* folder.messages(image, TTY_INFO)
  return folder.check(() => entries.map((entry) => ttyOf(entry, image))) ?? []
}

function ttyOf(entry: TtyInfoEntry, image: string): Tty {
  return {
    entry,
    ...(entry.termios && { controls: controlsOf(entry.termios, image) }),
    ...(entry.termiosLocked && { lockedControls: controlsOf(entry.termiosLocked, image) }),
  }
}

function* readMemfds(folder: Folder): Work<Memfd[]> {
  const memfds: Memfd[] = []
  for (const inode of yield* folder.messages('memfd.img', MEMFD_INODE)) {
    const memfd = yield* folder.attempt(() => readMemfd(folder, inode))
    if (memfd !== undefined) memfds.push(memfd)
  }
  return memfds
}

function missingOf(
  names: ReadonlySet<string>,
  remaps: readonly RemapFilePathEntry[],
  memfds: readonly Memfd[],
): string[] {
  const ghosts = remaps
    .filter(({ remapType }) => remapType === RemapType.GHOST)
    .map(({ remapId }) => ghostImage(remapId))
  const pagemaps = memfds.filter(({ inode }) => inode.size > 0n).map(({ inode }) => pagemapImage(inode))
  return [...new Set([...ghosts, ...pagemaps])].filter((name) => !names.has(name)).sort()
}
