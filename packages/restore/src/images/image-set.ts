import type {
  CoreEntry,
  FdinfoEntry,
  FileEntry,
  FileLockEntry,
  FsEntry,
  GhostFileEntry,
  InventoryEntry,
  MemfdInodeEntry,
  MmEntry,
  PipeDataEntry,
  PstreeEntry,
  RemapFilePathEntry,
  SkPacketEntry,
  TaskKobjIdsEntry,
  TcpStreamEntry,
  TtyDataEntry,
  TtyInfoEntry,
} from './messages.ts'
import type { Payload } from './payload.ts'

/** What the images say of one process. */
export interface TaskImages {
  readonly pstree: PstreeEntry
  /** Absent for a process that has ended (a zombie). */
  readonly ids?: TaskKobjIdsEntry
  readonly core?: CoreEntry
  readonly fs?: FsEntry
  /** Its `exeFileId` is the file that was the program. */
  readonly mm?: MmEntry
  /**
   * Key of its descriptors in {@link ImageSet.tables}; tasks with the same key share one table. Absent for a process
   * that has none, as a zombie.
   */
  readonly table?: number
}

/** A deleted file, from the image `ghost-file-N`. */
export interface Ghost {
  readonly entry: GhostFileEntry
  /**
   * Its content in ascending order; between the chunks are holes. With `entry.chunks` its size is `entry.size`;
   * otherwise there is one chunk, at 0, which is all of it.
   */
  readonly chunks: readonly GhostChunk[]
}

export interface GhostChunk {
  /** Where it lies in the deleted file. */
  readonly at: bigint
  readonly data: Payload
}

/** What was in a pipe or FIFO, `entry.bytes` of it. */
export interface PipeData {
  readonly entry: PipeDataEntry
  readonly data: Payload
}

/** A message that waited in a Unix socket. */
export interface QueuedPacket {
  readonly entry: SkPacketEntry
  readonly data: Payload
}

/** The state of a TCP connection, and what it had received (`inq`) and not yet got acknowledged (`outq`). */
export interface TcpStream {
  readonly entry: TcpStreamEntry
  readonly inq: Payload
  readonly outq: Payload
}

/**
 * A terminal, with its control characters, 32 of them, as bytes. They are written in place of those in `entry` (`cCc`);
 * without them those are written as they are.
 */
export interface Tty {
  readonly entry: TtyInfoEntry
  /** Control characters of `entry.termios`, indexed by VINTR and so on; there when that is. */
  readonly controls?: Uint8Array
  /** The same of `entry.termiosLocked`. */
  readonly lockedControls?: Uint8Array
}

/** Memory with a name (memfd_create(2)), and its content. */
export interface Memfd {
  readonly inode: MemfdInodeEntry
  /** Number N of the image `pages-N` that holds the content; absent when it has none. */
  readonly pagesId?: number
  /** In ascending order; between the runs are holes. The last one may reach beyond the size, to a whole page. */
  readonly runs: readonly PageRun[]
}

/** Pages of shared memory that lie one after another. */
export interface PageRun {
  /** Where they lie in the memory. */
  readonly at: bigint
  /** In bytes, a multiple of 4096. */
  readonly length: bigint
  /** 1: in the images of an earlier dump. 2: to be fetched on use. 4: present. */
  readonly flags: number
  /** There when they are present. */
  readonly data?: Payload
}

/**
 * Everything in a folder of images that matters for descriptors, whatever their layout was. An image that is absent is
 * an empty list here, except `inventory` and `pstree`, which must be there. What the messages say of each other is not
 * checked: a descriptor may name a file that is not there. {@link readImages} gives one, {@link writeImages} takes one.
 */
export interface ImageSet {
  readonly inventory: InventoryEntry
  /** In the order of the image `pstree`. */
  readonly tasks: readonly TaskImages[]
  /** Tables of descriptors, each in the order of its image: by files id, or by pid where images are named so. */
  readonly tables: ReadonlyMap<number, readonly FdinfoEntry[]>
  /**
   * In the order of the image `files`, or by kind where there is one image for each kind. Watches of epoll, inotify and
   * fanotify that had images of their own are in their files.
   */
  readonly files: readonly FileEntry[]
  /** All with a type: what bit 31 said in old images is said by the type. */
  readonly remaps: readonly RemapFilePathEntry[]
  /** By `remapId`. One that {@link remaps} names and that is not here has no image: see {@link missing}. */
  readonly ghosts: ReadonlyMap<number, Ghost>
  readonly pipes: readonly PipeData[]
  readonly fifos: readonly PipeData[]
  /** In the order in which they were queued. */
  readonly packets: readonly QueuedPacket[]
  /** By inode of the socket. */
  readonly streams: ReadonlyMap<number, TcpStream>
  readonly ttys: readonly Tty[]
  readonly ttyData: readonly TtyDataEntry[]
  readonly memfds: readonly Memfd[]
  readonly locks: readonly FileLockEntry[]
  /** Names of all images of the folder, sorted, those that were not read included. */
  readonly present: readonly string[]
  /** Names of images that others refer to and that are absent, sorted: `ghost-file-1.img`. */
  readonly missing: readonly string[]
}
