import { isMessage, type DescMessage, type Message, type MessageValidType } from '@bufbuild/protobuf'
import { decode, DecodeFault } from './decode.ts'
import type { Format } from './format.ts'
import { hex, type ImageFile, type Inline } from './image-file.ts'
import {
  GhostChunkEntrySchema,
  GhostFileEntrySchema,
  PipeDataEntrySchema,
  SkPacketEntrySchema,
  TcpStreamEntrySchema,
} from './messages.ts'
import type { Payload } from './payload.ts'
import type { Allowance } from './read-options.ts'
import { refuse } from './refusal.ts'

/** One record of an image, and the bytes that follow it. */
export interface ImageRecord<T extends Message = Message> {
  readonly message: T
  /** One for pipes, FIFOs, packets and ghosts, two (inq, outq) for TCP streams, none for others. */
  readonly payloads: readonly Payload[]
}

type Either<Head extends DescMessage, Rest extends DescMessage> = ImageRecord<
  MessageValidType<Head> | MessageValidType<Rest>
>

/** The records of an image, whose magic number comes next. */
export function recordsOf<Head extends DescMessage, Rest extends DescMessage>(
  file: ImageFile,
  format: Format<Head, Rest>,
  version: 1 | 2 | undefined,
  allowance: Allowance,
): Generator<Either<Head, Rest>, void> {
  const magic = file.magic(version)
  if (magic !== format.magic) {
    refuse(
      'bad-magic',
      file.name,
      `its magic number is ${hex(magic)}; that of ${format.name} is ${hex(format.magic)}`,
    )
  }
  return recordsFrom(file, format, allowance)
}

/** The records of an image whose magic number has been read. */
export function* recordsFrom<Head extends DescMessage, Rest extends DescMessage>(
  file: ImageFile,
  format: Format<Head, Rest>,
  { limits, inline }: Allowance,
): Generator<Either<Head, Rest>, void> {
  const followed = FOLLOWED.has(format.rest.typeName)
  for (let count = 0; file.left > 0; count++) {
    if (count === limits.records) {
      refuse('too-many-records', file.name, `it has more than the ${limits.records} records that are allowed`)
    }
    const schema: Head | Rest = count === 0 ? format.head : format.rest
    const message = readMessage(file, schema, count, limits.record)
    const payloads = followed ? readPayloads(file, message, count, limits.payload, inline) : none
    yield { message, payloads }
  }
}

function readMessage<Schema extends DescMessage>(
  file: ImageFile,
  schema: Schema,
  index: number,
  limit: number,
): MessageValidType<Schema> {
  const { at } = file
  const place = (): string => `record ${index + 1}, at ${at},`
  if (file.left < 4)
    refuse('truncated-record', file.name, `${place()} has ${file.left} of the 4 bytes of its length`)
  const length = file.u32()
  if (length > limit) {
    refuse(
      'record-too-long',
      file.name,
      `${place()} says that it has ${length} bytes, and ${limit} are allowed`,
    )
  }
  if (length > file.left) {
    refuse(
      'truncated-record',
      file.name,
      `${place()} says that it has ${length} bytes, and ${file.left} follow`,
    )
  }
  try {
    return decode(schema, file.next(length)) as unknown as MessageValidType<Schema>
  } catch (error) {
    if (!(error instanceof DecodeFault)) throw error
    return refuse(error.reason, file.name, `${place()} is no ${schema.name}: ${error.message}`)
  }
}

const none: readonly Payload[] = []

/** Messages that payloads follow. */
const FOLLOWED: ReadonlySet<string> = new Set(
  [GhostChunkEntrySchema, PipeDataEntrySchema, SkPacketEntrySchema, TcpStreamEntrySchema].map(
    (schema) => schema.typeName,
  ),
)

function readPayloads(
  file: ImageFile,
  message: Message,
  index: number,
  limit: number,
  inline: Inline,
): readonly Payload[] {
  const lengths = payloadLengths(message, file.left)
  if (lengths === undefined) return none
  return lengths.map((length) => {
    const place = `record ${index + 1} says that ${length} bytes follow it`
    if (length > limit) refuse('payload-too-long', file.name, `${place}, and ${limit} are allowed`)
    if (length > file.left) refuse('payload-short', file.name, `${place}, and ${file.left} do`)
    return file.payload(Number(length), inline)
  })
}

/** How many bytes follow a record, of the `left` ones of the image. */
export function payloadLengths(message: Message, left: number): readonly (number | bigint)[] | undefined {
  if (isMessage(message, PipeDataEntrySchema)) return [message.bytes]
  if (isMessage(message, SkPacketEntrySchema)) return [message.length]
  if (isMessage(message, TcpStreamEntrySchema)) return [message.inqLen, message.outqLen]
  if (isMessage(message, GhostChunkEntrySchema)) return [message.len]
  if (isMessage(message, GhostFileEntrySchema)) return message.chunks ? undefined : [left]
  return undefined
}
