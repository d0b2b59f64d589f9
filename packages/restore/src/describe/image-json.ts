import { createRegistry, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf'
import { file_device } from '../images/generated/device_pb.ts'
import { file_event } from '../images/generated/event_pb.ts'
import { file_file } from '../images/generated/file_pb.ts'
import { file_fown } from '../images/generated/fown_pb.ts'
import { file_inventory } from '../images/generated/inventory_pb.ts'
import { file_memory } from '../images/generated/memory_pb.ts'
import { file_pipe } from '../images/generated/pipe_pb.ts'
import { file_process } from '../images/generated/process_pb.ts'
import { file_regular } from '../images/generated/regular_pb.ts'
import { file_socket } from '../images/generated/socket_pb.ts'
import { file_tty } from '../images/generated/tty_pb.ts'
import type { Image, ImageRecord, Payload } from '../images/index.ts'

/** A value of a message: 64-bit numbers are bigints when they have to be, bytes are base64. */
export type ImageValue = string | number | bigint | boolean | readonly ImageValue[] | ImageFields

/** The fields of a message that are there. */
export interface ImageFields {
  readonly [name: string]: ImageValue
}

/** An image as data, with the names of CRIU's own decoder. */
export interface ImageDescription {
  /** Its kind: `PIPES_DATA`. */
  readonly magic: string
  /** What follows a record is its `extra`: base64, or where it is in the file when it is not in memory. */
  readonly entries: readonly ImageFields[]
}

const registry = createRegistry(
  file_device,
  file_event,
  file_file,
  file_fown,
  file_inventory,
  file_memory,
  file_pipe,
  file_process,
  file_regular,
  file_socket,
  file_tty,
)

/** One image as data, for programs: the fields that are there. */
export function imageJson({ format, records }: Image): ImageDescription {
  return { magic: format, entries: records.map(recordJson) }
}

function recordJson({ message, payloads }: ImageRecord): ImageFields {
  const fields = messageJson(message)
  const [first, second] = payloads.map(payloadJson)
  if (first === undefined) return fields
  return { ...fields, extra: second === undefined ? first : { inq: first, outq: second } }
}

function payloadJson(payload: Payload): ImageValue {
  if (payload instanceof Uint8Array) return base64(payload)
  const { path, offset, length } = payload
  return { path, offset, length }
}

function messageJson(message: Message): ImageFields {
  const desc = registry.getMessage(message.$typeName)
  return desc === undefined ? {} : fieldsOf(desc, message)
}

function fieldsOf(desc: DescMessage, message: Message): ImageFields {
  const values = message as unknown as Record<string, unknown>
  const there = desc.fields.filter(({ localName, fieldKind }) =>
    fieldKind === 'list' ? (values[localName] as unknown[]).length > 0 : Object.hasOwn(values, localName),
  )
  return Object.fromEntries(there.map((field) => [field.name, fieldJson(field, values[field.localName])]))
}

function fieldJson(field: DescField, value: unknown): ImageValue {
  if (Array.isArray(value)) return value.map((each: unknown) => fieldJson(field, each))
  if (field.enum !== undefined) return field.enum.value[value as number]?.localName ?? (value as number)
  if (field.message !== undefined) return messageJson(value as Message)
  if (value instanceof Uint8Array) return base64(value)
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value
  return value as string | number | boolean
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
