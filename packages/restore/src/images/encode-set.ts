import type { DescMessage, MessageValidType } from '@bufbuild/protobuf'
import { wordsOf } from './control-characters.ts'
import { checkFile } from './file-kinds.ts'
import {
  CORE,
  FDINFO,
  FIFO_DATA,
  FILE_LOCKS,
  FILES,
  FS,
  GHOST_FILE,
  IDS,
  INVENTORY,
  MEMFD_INODE,
  MM,
  PAGEMAP,
  PIPES_DATA,
  PSTREE,
  REMAP_FPATH,
  SK_QUEUES,
  TCP_STREAM,
  TTY_DATA,
  TTY_INFO,
  type Format,
} from './format.ts'
import { checkChunks, ghostImage } from './ghost.ts'
import { ImageEncoder, type ImageBytes } from './image-bytes.ts'
import type { Ghost, ImageSet, Memfd, PageRun, TaskImages, Tty } from './image-set.ts'
import { checkRuns, isPresent, PAGE, pagemapImage, pagesImage } from './memfd.ts'
import {
  GhostChunkEntrySchema,
  makeMessage,
  PagemapEntrySchema,
  PagemapHeadSchema,
  type TermiosEntry,
  type TtyInfoEntry,
} from './messages.ts'
import type { Payload } from './payload.ts'
import { refuse } from './refusal.ts'
import type { Work } from './slices.ts'

/** All images of a set. Refuses a set that the reader would not give back as it is. */
export function* encodeSet(set: ImageSet): Work<ImageBytes[]> {
  const { imgVersion } = set.inventory
  if (imgVersion !== 1 && imgVersion !== 2) {
    refuse('unknown-version', 'inventory.img', `img_version is ${imgVersion}, and 1 and 2 are known`)
  }
  if (set.tasks.length === 0) refuse('no-pstree', 'pstree.img', 'there is no process')
  const images: ImageBytes[] = []
  for (const image of imagesOf(set, imgVersion)) {
    images.push(image)
    yield
  }
  checkNames(images)
  return images
}

function checkNames(images: readonly ImageBytes[]): void {
  const names = new Set<string>()
  for (const { name } of images) {
    if (names.has(name)) refuse('duplicate-image', name, 'two parts of the set belong into it')
    names.add(name)
  }
}

function* imagesOf(set: ImageSet, version: 1 | 2): Generator<ImageBytes, void> {
  const list = <Schema extends DescMessage>(
    name: string,
    format: Format<Schema>,
    messages: readonly MessageValidType<Schema>[],
  ): ImageBytes[] => (messages.length === 0 ? [] : [listImage(name, format, version, messages)])

  yield* list('inventory.img', INVENTORY, [set.inventory])
  yield* list(
    'pstree.img',
    PSTREE,
    set.tasks.map(({ pstree }) => pstree),
  )
  for (const task of set.tasks) {
    checkTable(task, set)
    const { pstree, ids, core, fs, mm } = task
    if (ids) yield* list(`ids-${pstree.pid}.img`, IDS, [ids])
    if (core) yield* list(`core-${pstree.pid}.img`, CORE, [core])
    if (fs) yield* list(`fs-${pstree.pid}.img`, FS, [fs])
    if (mm) yield* list(`mm-${pstree.pid}.img`, MM, [mm])
  }
  for (const [key, table] of set.tables) yield* list(`fdinfo-${key}.img`, FDINFO, table)
  for (const file of set.files) checkFile(file, 'files.img')
  // Without this image the others would be read as the older layout.
  yield listImage('files.img', FILES, version, set.files)
  yield* list('remap-fpath.img', REMAP_FPATH, set.remaps)
  for (const [number, ghost] of set.ghosts) yield encodeGhost(ghostImage(number), ghost, version)
  yield* dataImage('pipes-data.img', PIPES_DATA, version, set.pipes)
  yield* dataImage('fifo-data.img', FIFO_DATA, version, set.fifos)
  yield* dataImage('sk-queues.img', SK_QUEUES, version, set.packets)
  for (const [inode, { entry, inq, outq }] of set.streams) {
    const name = `tcp-stream-${inode.toString(16)}.img`
    yield new ImageEncoder(name, TCP_STREAM, version).add(entry, [inq, outq])
  }
  yield* list('tty-info.img', TTY_INFO, set.ttys.map(encodeTty))
  yield* list('tty-data.img', TTY_DATA, set.ttyData)
  yield* list(
    'memfd.img',
    MEMFD_INODE,
    set.memfds.map(({ inode }) => inode),
  )
  yield* encodeMemfds(set.memfds, version)
  yield* list('filelocks.img', FILE_LOCKS, set.locks)
}

function listImage<Schema extends DescMessage>(
  name: string,
  format: Format<Schema>,
  version: 1 | 2,
  messages: readonly MessageValidType<Schema>[],
): ImageBytes {
  const image = new ImageEncoder(name, format, version)
  for (const message of messages) image.add(message)
  return image
}

function* dataImage<Schema extends DescMessage>(
  name: string,
  format: Format<Schema>,
  version: 1 | 2,
  entries: readonly { readonly entry: MessageValidType<Schema>; readonly data: Payload }[],
): Generator<ImageBytes, void> {
  if (entries.length === 0) return
  const image = new ImageEncoder(name, format, version)
  for (const { entry, data } of entries) image.add(entry, [data])
  yield image
}

// Where a table belongs is not written: a reader finds it as this says.
function checkTable({ pstree: { pid }, ids, table }: TaskImages, { inventory, tables }: ImageSet): void {
  const key = inventory.fdinfoPerId ? ids?.filesId : pid
  if (table === undefined ? key === undefined || !tables.has(key) : table === key) return
  const place = inventory.fdinfoPerId ? `its files_id is ${key}` : 'fdinfo_per_id is not set in the inventory'
  refuse('table-mismatch', 'pstree.img', `the process ${pid} has the table ${table}, and ${place}`)
}

function encodeGhost(name: string, { entry, chunks }: Ghost, version: 1 | 2): ImageBytes {
  checkChunks(chunks, name)
  const image = new ImageEncoder(name, GHOST_FILE, version)
  if (entry.chunks) {
    image.add(entry)
    for (const { at, data } of chunks) {
      image.add(makeMessage(GhostChunkEntrySchema, { len: BigInt(data.length), off: at }), [data])
    }
    return image
  }
  const [whole] = chunks
  if (chunks.length > 1 || (whole !== undefined && whole.at !== 0n)) {
    refuse('bad-extent', name, 'without `chunks` its content is one chunk, at 0')
  }
  return image.add(entry, [whole?.data ?? new Uint8Array(0)])
}

function encodeTty({ entry, controls, lockedControls }: Tty): TtyInfoEntry {
  const { termios, termiosLocked } = entry
  return {
    ...entry,
    ...(controls && { termios: withControls(termios, controls) }),
    ...(lockedControls && { termiosLocked: withControls(termiosLocked, lockedControls) }),
  }
}

function withControls(termios: TermiosEntry | undefined, controls: Uint8Array): TermiosEntry {
  const image = 'tty-info.img'
  if (termios === undefined) return refuse('missing-field', image, 'control characters need termios')
  return { ...termios, cCc: wordsOf(controls, termios.cCc, image) }
}

function* encodeMemfds(memfds: readonly Memfd[], version: 1 | 2): Generator<ImageBytes, void> {
  let free = Math.max(0, ...memfds.map(({ pagesId = 0 }) => pagesId))
  for (const { inode, runs, pagesId } of memfds) {
    if (pagesId === undefined && runs.length === 0) continue
    yield* encodeRuns(pagemapImage(inode), runs, pagesId ?? ++free, version)
  }
}

function* encodeRuns(
  name: string,
  runs: readonly PageRun[],
  pagesId: number,
  version: 1 | 2,
): Generator<ImageBytes, void> {
  checkRuns(runs, name)
  const pagemap = new ImageEncoder(name, PAGEMAP, version).add(makeMessage(PagemapHeadSchema, { pagesId }))
  const pages: Payload[] = []
  for (const { at, length, flags, data } of runs) {
    const nrPages = length / BigInt(PAGE)
    pagemap.add(makeMessage(PagemapEntrySchema, { vaddr: at, compatNrPages: 0, flags, nrPages }))
    if (BigInt(data?.length ?? 0) !== (isPresent({ flags }) ? length : 0n)) {
      refuse(
        'length-mismatch',
        name,
        `the pages at ${at} should have ${length} bytes of data if they are present, or none`,
      )
    }
    if (data !== undefined) pages.push(data)
  }
  yield pagemap
  if (pages.length > 0) yield { name: pagesImage(pagesId), parts: pages }
}
