/*
 * The messages of CRIU's images, made from `proto/`. A message of an image that was read has every required field;
 * {@link makeMessage} makes one of one's own. An optional field that is absent reads as its default: {@link has} tells
 * whether it is there.
 */
import { create, type DescMessage, type MessageInitShape, type MessageValidType } from '@bufbuild/protobuf'
import { RestoreError } from '../errors.ts'
import { findFault } from './message-check.ts'

/** Whether a field of a message is there, rather than its default. */
export function has<T extends object>(message: T, field: keyof T & string): boolean {
  return Object.hasOwn(message, field)
}

/** A message with these fields. A required one that is absent is a RestoreError `missing-field`. */
export function makeMessage<Desc extends DescMessage>(
  schema: Desc,
  init: MessageInitShape<Desc>,
): MessageValidType<Desc> {
  const message = create(schema, init)
  const fault = findFault(schema, message)
  if (fault !== undefined) throw new RestoreError([fault])
  return message as unknown as MessageValidType<Desc>
}

export {
  BpfmapFileEntrySchema,
  TunfileEntrySchema,
  type BpfmapFileEntryValid as BpfmapFileEntry,
  type TunfileEntryValid as TunfileEntry,
} from './generated/device_pb.ts'
export {
  EventfdFileEntrySchema,
  EventpollFileEntrySchema,
  EventpollTfdEntrySchema,
  FanotifyFileEntrySchema,
  FanotifyInodeMarkEntrySchema,
  FanotifyMarkEntrySchema,
  FanotifyMountMarkEntrySchema,
  FhEntrySchema,
  InotifyFileEntrySchema,
  InotifyWdEntrySchema,
  MarkType,
  MarkTypeSchema,
  PidfdEntrySchema,
  SignalfdEntrySchema,
  TimerfdEntrySchema,
  type EventfdFileEntryValid as EventfdFileEntry,
  type EventpollFileEntryValid as EventpollFileEntry,
  type EventpollTfdEntryValid as EventpollTfdEntry,
  type FanotifyFileEntryValid as FanotifyFileEntry,
  type FanotifyInodeMarkEntryValid as FanotifyInodeMarkEntry,
  type FanotifyMarkEntryValid as FanotifyMarkEntry,
  type FanotifyMountMarkEntryValid as FanotifyMountMarkEntry,
  type FhEntryValid as FhEntry,
  type InotifyFileEntryValid as InotifyFileEntry,
  type InotifyWdEntryValid as InotifyWdEntry,
  type PidfdEntryValid as PidfdEntry,
  type SignalfdEntryValid as SignalfdEntry,
  type TimerfdEntryValid as TimerfdEntry,
} from './generated/event_pb.ts'
export {
  FdType,
  FdTypeSchema,
  FdinfoEntrySchema,
  FileEntrySchema,
  FileLockEntrySchema,
  type FdinfoEntryValid as FdinfoEntry,
  type FileEntryValid as FileEntry,
  type FileLockEntryValid as FileLockEntry,
} from './generated/file_pb.ts'
export { FownEntrySchema, type FownEntryValid as FownEntry } from './generated/fown_pb.ts'
export {
  InventoryEntrySchema,
  InventoryPluginsEntrySchema,
  LsmType,
  LsmTypeSchema,
  type InventoryEntryValid as InventoryEntry,
  type InventoryPluginsEntryValid as InventoryPluginsEntry,
} from './generated/inventory_pb.ts'
export {
  MemfdFileEntrySchema,
  MemfdInodeEntrySchema,
  PagemapEntrySchema,
  PagemapHeadSchema,
  type MemfdFileEntryValid as MemfdFileEntry,
  type MemfdInodeEntryValid as MemfdInodeEntry,
  type PagemapEntryValid as PagemapEntry,
  type PagemapHeadValid as PagemapHead,
} from './generated/memory_pb.ts'
export {
  FifoEntrySchema,
  PipeDataEntrySchema,
  PipeEntrySchema,
  type FifoEntryValid as FifoEntry,
  type PipeDataEntryValid as PipeDataEntry,
  type PipeEntryValid as PipeEntry,
} from './generated/pipe_pb.ts'
export {
  CoreEntrySchema,
  CoreEntry_March,
  CoreEntry_MarchSchema,
  CredsEntrySchema,
  FsEntrySchema,
  MmEntrySchema,
  PstreeEntrySchema,
  RlimitEntrySchema,
  TaskCoreEntrySchema,
  TaskKobjIdsEntrySchema,
  TaskRlimitsEntrySchema,
  ThreadCoreEntrySchema,
  type CoreEntryValid as CoreEntry,
  type CredsEntryValid as CredsEntry,
  type FsEntryValid as FsEntry,
  type MmEntryValid as MmEntry,
  type PstreeEntryValid as PstreeEntry,
  type RlimitEntryValid as RlimitEntry,
  type TaskCoreEntryValid as TaskCoreEntry,
  type TaskKobjIdsEntryValid as TaskKobjIdsEntry,
  type TaskRlimitsEntryValid as TaskRlimitsEntry,
  type ThreadCoreEntryValid as ThreadCoreEntry,
} from './generated/process_pb.ts'
export {
  ExtFileEntrySchema,
  GhostChunkEntrySchema,
  GhostFileEntrySchema,
  NsFileEntrySchema,
  RegFileEntrySchema,
  RemapFilePathEntrySchema,
  RemapType,
  RemapTypeSchema,
  TimevalSchema,
  type ExtFileEntryValid as ExtFileEntry,
  type GhostChunkEntryValid as GhostChunkEntry,
  type GhostFileEntryValid as GhostFileEntry,
  type NsFileEntryValid as NsFileEntry,
  type RegFileEntryValid as RegFileEntry,
  type RemapFilePathEntryValid as RemapFilePathEntry,
  type TimevalValid as Timeval,
} from './generated/regular_pb.ts'
export {
  FilePermsEntrySchema,
  InetSkEntrySchema,
  IpOptsEntrySchema,
  IpOptsRawEntrySchema,
  NetlinkSkEntrySchema,
  PacketMclistSchema,
  PacketRingSchema,
  PacketSockEntrySchema,
  ScmEntrySchema,
  SkOptsEntrySchema,
  SkPacketEntrySchema,
  SkShutdown,
  SkShutdownSchema,
  TcpOptsEntrySchema,
  TcpStreamEntrySchema,
  UnixSkEntrySchema,
  type FilePermsEntryValid as FilePermsEntry,
  type InetSkEntryValid as InetSkEntry,
  type IpOptsEntryValid as IpOptsEntry,
  type IpOptsRawEntryValid as IpOptsRawEntry,
  type NetlinkSkEntryValid as NetlinkSkEntry,
  type PacketMclistValid as PacketMclist,
  type PacketRingValid as PacketRing,
  type PacketSockEntryValid as PacketSockEntry,
  type ScmEntryValid as ScmEntry,
  type SkOptsEntryValid as SkOptsEntry,
  type SkPacketEntryValid as SkPacketEntry,
  type TcpOptsEntryValid as TcpOptsEntry,
  type TcpStreamEntryValid as TcpStreamEntry,
  type UnixSkEntryValid as UnixSkEntry,
} from './generated/socket_pb.ts'
export {
  TermiosEntrySchema,
  TtyDataEntrySchema,
  TtyFileEntrySchema,
  TtyInfoEntrySchema,
  TtyPtyEntrySchema,
  TtyType,
  TtyTypeSchema,
  WinsizeEntrySchema,
  type TermiosEntryValid as TermiosEntry,
  type TtyDataEntryValid as TtyDataEntry,
  type TtyFileEntryValid as TtyFileEntry,
  type TtyInfoEntryValid as TtyInfoEntry,
  type TtyPtyEntryValid as TtyPtyEntry,
  type WinsizeEntryValid as WinsizeEntry,
} from './generated/tty_pb.ts'
