export type {
  Ghost,
  GhostChunk,
  ImageSet,
  Memfd,
  PageRun,
  PipeData,
  QueuedPacket,
  TaskImages,
  TcpStream,
  Tty,
} from './image-set.ts'
export type { FilePart, Payload } from './payload.ts'
export * from './messages.ts'
