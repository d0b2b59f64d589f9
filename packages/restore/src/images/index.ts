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
export { imageRecords, readImage } from './image.ts'
export type { Image } from './image.ts'
export type { Limits } from './image-file.ts'
export { payloadBytes, payloadChunks } from './payload.ts'
export type { FilePart, Payload } from './payload.ts'
export { readImages } from './read-images.ts'
export type { ReadOptions } from './read-options.ts'
export type { ImageRecord } from './records.ts'
export { writeImages } from './write-images.ts'
export type { WriteOptions } from './write-images.ts'
export * from './messages.ts'
