import type { DescMessage } from '@bufbuild/protobuf'
import {
  BpfmapFileEntrySchema,
  CoreEntrySchema,
  EventfdFileEntrySchema,
  EventpollFileEntrySchema,
  EventpollTfdEntrySchema,
  ExtFileEntrySchema,
  FanotifyFileEntrySchema,
  FanotifyMarkEntrySchema,
  FdinfoEntrySchema,
  FifoEntrySchema,
  FileEntrySchema,
  FileLockEntrySchema,
  FsEntrySchema,
  GhostChunkEntrySchema,
  GhostFileEntrySchema,
  InetSkEntrySchema,
  InotifyFileEntrySchema,
  InotifyWdEntrySchema,
  InventoryEntrySchema,
  MemfdInodeEntrySchema,
  MmEntrySchema,
  NetlinkSkEntrySchema,
  NsFileEntrySchema,
  PacketSockEntrySchema,
  PagemapEntrySchema,
  PagemapHeadSchema,
  PidfdEntrySchema,
  PipeDataEntrySchema,
  PipeEntrySchema,
  PstreeEntrySchema,
  RegFileEntrySchema,
  RemapFilePathEntrySchema,
  SignalfdEntrySchema,
  SkPacketEntrySchema,
  TaskKobjIdsEntrySchema,
  TcpStreamEntrySchema,
  TimerfdEntrySchema,
  TtyDataEntrySchema,
  TtyFileEntrySchema,
  TtyInfoEntrySchema,
  TunfileEntrySchema,
  UnixSkEntrySchema,
} from './messages.ts'

/** What one kind of image holds. */
export interface Format<Head extends DescMessage = DescMessage, Rest extends DescMessage = Head> {
  /** As CRIU's own tools write it: `PIPES_DATA`. */
  readonly name: string
  readonly magic: number
  /** The message of its first record. */
  readonly head: Head
  /** That of the others. */
  readonly rest: Rest
}

/** Before the magic of every image but the inventory, from img_version 2 on. */
export const COMMON_MAGIC = 0x54564319

/** Before that of the images of service (statistics), likewise. */
export const SERVICE_MAGIC = 0x55105940

type Uniform<Schema extends DescMessage> = Format<Schema>

function uniform<Schema extends DescMessage>(name: string, magic: number, schema: Schema): Uniform<Schema> {
  return { name, magic, head: schema, rest: schema }
}

export const INVENTORY: Uniform<typeof InventoryEntrySchema> = uniform(
  'INVENTORY',
  0x58313116,
  InventoryEntrySchema,
)
export const PSTREE: Uniform<typeof PstreeEntrySchema> = uniform('PSTREE', 0x50273030, PstreeEntrySchema)
export const IDS: Uniform<typeof TaskKobjIdsEntrySchema> = uniform('IDS', 0x54432030, TaskKobjIdsEntrySchema)
export const CORE: Uniform<typeof CoreEntrySchema> = uniform('CORE', 0x55053847, CoreEntrySchema)
export const MM: Uniform<typeof MmEntrySchema> = uniform('MM', 0x57492820, MmEntrySchema)
export const FS: Uniform<typeof FsEntrySchema> = uniform('FS', 0x51403912, FsEntrySchema)
export const FDINFO: Uniform<typeof FdinfoEntrySchema> = uniform('FDINFO', 0x56213732, FdinfoEntrySchema)
export const FILES: Uniform<typeof FileEntrySchema> = uniform('FILES', 0x56303138, FileEntrySchema)
export const REMAP_FPATH: Uniform<typeof RemapFilePathEntrySchema> = uniform(
  'REMAP_FPATH',
  0x59133954,
  RemapFilePathEntrySchema,
)
export const GHOST_FILE: Format<typeof GhostFileEntrySchema, typeof GhostChunkEntrySchema> = {
  name: 'GHOST_FILE',
  magic: 0x52583605,
  head: GhostFileEntrySchema,
  rest: GhostChunkEntrySchema,
}
export const PIPES_DATA: Uniform<typeof PipeDataEntrySchema> = uniform(
  'PIPES_DATA',
  0x56453709,
  PipeDataEntrySchema,
)
export const FIFO_DATA: Uniform<typeof PipeDataEntrySchema> = uniform(
  'FIFO_DATA',
  0x59333054,
  PipeDataEntrySchema,
)
export const SK_QUEUES: Uniform<typeof SkPacketEntrySchema> = uniform(
  'SK_QUEUES',
  0x56264026,
  SkPacketEntrySchema,
)
export const TCP_STREAM: Uniform<typeof TcpStreamEntrySchema> = uniform(
  'TCP_STREAM',
  0x51465506,
  TcpStreamEntrySchema,
)
export const TTY_INFO: Uniform<typeof TtyInfoEntrySchema> = uniform(
  'TTY_INFO',
  0x59453036,
  TtyInfoEntrySchema,
)
export const TTY_DATA: Uniform<typeof TtyDataEntrySchema> = uniform(
  'TTY_DATA',
  0x59413026,
  TtyDataEntrySchema,
)
export const MEMFD_INODE: Uniform<typeof MemfdInodeEntrySchema> = uniform(
  'MEMFD_INODE',
  0x48453499,
  MemfdInodeEntrySchema,
)
export const PAGEMAP: Format<typeof PagemapHeadSchema, typeof PagemapEntrySchema> = {
  name: 'PAGEMAP',
  magic: 0x56084025,
  head: PagemapHeadSchema,
  rest: PagemapEntrySchema,
}
export const FILE_LOCKS: Uniform<typeof FileLockEntrySchema> = uniform(
  'FILE_LOCKS',
  0x54323616,
  FileLockEntrySchema,
)

// Before the image "files" each kind of file had an image of its own.
export const REG_FILES: Uniform<typeof RegFileEntrySchema> = uniform(
  'REG_FILES',
  0x50363636,
  RegFileEntrySchema,
)
export const EXT_FILES: Uniform<typeof ExtFileEntrySchema> = uniform(
  'EXT_FILES',
  0x59255641,
  ExtFileEntrySchema,
)
export const NS_FILES: Uniform<typeof NsFileEntrySchema> = uniform('NS_FILES', 0x61394011, NsFileEntrySchema)
export const PIPES: Uniform<typeof PipeEntrySchema> = uniform('PIPES', 0x56513555, PipeEntrySchema)
export const FIFO: Uniform<typeof FifoEntrySchema> = uniform('FIFO', 0x58364939, FifoEntrySchema)
export const UNIXSK: Uniform<typeof UnixSkEntrySchema> = uniform('UNIXSK', 0x54373943, UnixSkEntrySchema)
export const INETSK: Uniform<typeof InetSkEntrySchema> = uniform('INETSK', 0x56443851, InetSkEntrySchema)
export const PACKETSK: Uniform<typeof PacketSockEntrySchema> = uniform(
  'PACKETSK',
  0x60454618,
  PacketSockEntrySchema,
)
export const NETLINKSK: Uniform<typeof NetlinkSkEntrySchema> = uniform(
  'NETLINKSK',
  0x58005614,
  NetlinkSkEntrySchema,
)
export const EVENTFD_FILE: Uniform<typeof EventfdFileEntrySchema> = uniform(
  'EVENTFD_FILE',
  0x44523722,
  EventfdFileEntrySchema,
)
export const EVENTPOLL_FILE: Uniform<typeof EventpollFileEntrySchema> = uniform(
  'EVENTPOLL_FILE',
  0x45023858,
  EventpollFileEntrySchema,
)
export const EVENTPOLL_TFD: Uniform<typeof EventpollTfdEntrySchema> = uniform(
  'EVENTPOLL_TFD',
  0x44433746,
  EventpollTfdEntrySchema,
)
export const SIGNALFD: Uniform<typeof SignalfdEntrySchema> = uniform(
  'SIGNALFD',
  0x57323820,
  SignalfdEntrySchema,
)
export const INOTIFY_FILE: Uniform<typeof InotifyFileEntrySchema> = uniform(
  'INOTIFY_FILE',
  0x48424431,
  InotifyFileEntrySchema,
)
export const INOTIFY_WD: Uniform<typeof InotifyWdEntrySchema> = uniform(
  'INOTIFY_WD',
  0x54562009,
  InotifyWdEntrySchema,
)
export const FANOTIFY_FILE: Uniform<typeof FanotifyFileEntrySchema> = uniform(
  'FANOTIFY_FILE',
  0x55096122,
  FanotifyFileEntrySchema,
)
export const FANOTIFY_MARK: Uniform<typeof FanotifyMarkEntrySchema> = uniform(
  'FANOTIFY_MARK',
  0x56506035,
  FanotifyMarkEntrySchema,
)
export const TTY_FILES: Uniform<typeof TtyFileEntrySchema> = uniform(
  'TTY_FILES',
  0x59433025,
  TtyFileEntrySchema,
)
export const TIMERFD: Uniform<typeof TimerfdEntrySchema> = uniform('TIMERFD', 0x50493712, TimerfdEntrySchema)
export const TUNFILE: Uniform<typeof TunfileEntrySchema> = uniform('TUNFILE', 0x57143751, TunfileEntrySchema)
export const PIDFD: Uniform<typeof PidfdEntrySchema> = uniform('PIDFD', 0x54435556, PidfdEntrySchema)
export const BPFMAP_FILE: Uniform<typeof BpfmapFileEntrySchema> = uniform(
  'BPFMAP_FILE',
  0x57506142,
  BpfmapFileEntrySchema,
)

/** All kinds of image that can be read, by magic. */
export const FORMATS: ReadonlyMap<number, Format<DescMessage, DescMessage>> = new Map(
  [
    INVENTORY,
    PSTREE,
    IDS,
    CORE,
    MM,
    FS,
    FDINFO,
    FILES,
    REMAP_FPATH,
    GHOST_FILE,
    PIPES_DATA,
    FIFO_DATA,
    SK_QUEUES,
    TCP_STREAM,
    TTY_INFO,
    TTY_DATA,
    MEMFD_INODE,
    PAGEMAP,
    FILE_LOCKS,
    REG_FILES,
    EXT_FILES,
    NS_FILES,
    PIPES,
    FIFO,
    UNIXSK,
    INETSK,
    PACKETSK,
    NETLINKSK,
    EVENTFD_FILE,
    EVENTPOLL_FILE,
    EVENTPOLL_TFD,
    SIGNALFD,
    INOTIFY_FILE,
    INOTIFY_WD,
    FANOTIFY_FILE,
    FANOTIFY_MARK,
    TTY_FILES,
    TIMERFD,
    TUNFILE,
    PIDFD,
    BPFMAP_FILE,
  ].map((format) => [format.magic, format]),
)
