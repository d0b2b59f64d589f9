import { create, ScalarType, type DescField, type DescMessage, type Message } from '@bufbuild/protobuf'
import { WireType } from '@bufbuild/protobuf/wire'
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt'
import { absence, nameOf, type Fault } from './message-check.ts'

/** Why bytes are not a message. */
export class DecodeFault extends Error {
  readonly reason: Fault['reason'] | 'malformed-record'

  constructor({ reason, message }: { reason: DecodeFault['reason']; message: string }) {
    super(message)
    this.reason = reason
  }
}

/**
 * The message from `at` to `end` of a cursor: what fromBinary of protobuf-es makes, several times as fast, because an image may have
 * ten thousand of them, and stricter. Required fields must be there, texts must be UTF-8, a field has the wire type
 * that it should have, and a message is not given in two pieces. Throws a DecodeFault. Bytes in the message are views.
 */
export function decode(schema: DescMessage, cursor: Cursor): Message {
  return layoutOf(schema).read(cursor)
}

/** Where bytes are read. */
export interface Cursor {
  /** Two views of the same: one has fast texts, the other is what messages are given parts of. */
  readonly bytes: Buffer
  readonly view: Uint8Array
  at: number
  /** Where the message ends that is being read. */
  end: number
}

export function cursorOf(view: Uint8Array): Cursor {
  const bytes = Buffer.from(view.buffer, view.byteOffset, view.length)
  return { bytes, view, at: 0, end: view.length }
}

type Value = number | bigint | boolean | string | Uint8Array | Message
type Draft = Message & Record<string, Value | Value[]>

// As the library names them.
const WIRE_TYPES: Readonly<Record<number, WireType>> = {
  0: WireType.Varint,
  1: WireType.Bit64,
  2: WireType.LengthDelimited,
  5: WireType.Bit32,
}

const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const

interface Field {
  readonly name: string
  readonly field: DescField
  readonly wire: number
  readonly list: boolean
  /** One bit for each required field of a message. */
  readonly bit: number
  /** Numbers that an enumeration has. */
  readonly values: ReadonlySet<number> | undefined
  readonly read: (cursor: Cursor, field: DescField) => Value
}

const layouts = new Map<string, Layout>()

function layoutOf(schema: DescMessage): Layout {
  let layout = layouts.get(schema.typeName)
  if (layout === undefined) {
    layout = new Layout(schema)
    layouts.set(schema.typeName, layout)
  }
  return layout
}

/** How messages of one kind are read. */
class Layout {
  readonly #fields: (Field | undefined)[] = []
  readonly #lists: string[] = []
  readonly #required: number
  readonly #make: new () => Draft

  constructor(schema: DescMessage) {
    let required = 0
    for (const field of schema.fields) {
      const isRequired = field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED
      this.#fields[field.number] = fieldOf(field, isRequired ? 1 << required++ : 0)
      if (field.fieldKind === 'list') this.#lists.push(field.localName)
    }
    this.#required = 2 ** required - 1
    this.#make = makerOf(schema)
  }

  read(cursor: Cursor): Message {
    const message = new this.#make()
    for (const name of this.#lists) message[name] = []
    let seen = 0
    while (cursor.at < cursor.end) {
      const tag = tagOf(cursor)
      const field = this.#fields[tag >>> 3]
      if (field === undefined) keepUnknown(cursor, message, tag)
      else if (readField(cursor, message, field, tag & 7)) seen |= field.bit
    }
    if (seen !== this.#required) this.#refuse(message, seen)
    return message
  }

  #refuse(message: Message, seen: number): never {
    const field = this.#fields.find(
      (field) => field !== undefined && field.bit !== 0 && (seen & field.bit) === 0,
    )
    throw new DecodeFault(absence((field as Field).field, message))
  }
}

// An object with the defaults of the schema behind it, as the library makes them; `new` is faster than Object.create.
function makerOf(schema: DescMessage): new () => Draft {
  const { typeName } = schema
  function Make(this: { $typeName: string }): void {
    this.$typeName = typeName
  }
  Make.prototype = Object.getPrototypeOf(create(schema)) as object
  return Make as unknown as new () => Draft
}

function fieldOf(field: DescField, bit: number): Field {
  const [wire, read] = reading(field)
  const values = field.enum && new Set(field.enum.values.map(({ number }) => number))
  return { name: field.localName, field, wire, list: field.fieldKind === 'list', bit, values, read }
}

function reading(field: DescField): [number, Field['read']] {
  if (field.message !== undefined) {
    const layout = layoutOf(field.message)
    return [WIRE.bytes, (cursor) => readInner(cursor, layout)]
  }
  if (field.enum !== undefined) return [WIRE.varint, (cursor) => varint(cursor) | 0]
  const known = SCALARS.get(field.scalar)
  if (known === undefined)
    throw new Error(`${String(field)} has a type that no image has: teach decode.ts to read it`)
  return known
}

const SCALARS: ReadonlyMap<ScalarType, [number, Field['read']]> = new Map<
  ScalarType,
  [number, Field['read']]
>([
  [ScalarType.UINT32, [WIRE.varint, varint]],
  [ScalarType.INT32, [WIRE.varint, (cursor) => varint(cursor) | 0]],
  [ScalarType.SINT32, [WIRE.varint, zigzag]],
  [ScalarType.BOOL, [WIRE.varint, (cursor) => varint64(cursor) !== 0n]],
  [ScalarType.UINT64, [WIRE.varint, varint64]],
  [ScalarType.INT64, [WIRE.varint, (cursor) => BigInt.asIntN(64, varint64(cursor))]],
  [ScalarType.FIXED64, [WIRE.fixed64, fixed64]],
  [ScalarType.STRING, [WIRE.bytes, text]],
  [ScalarType.BYTES, [WIRE.bytes, (cursor) => take(cursor, length(cursor))]],
])

function readInner(cursor: Cursor, layout: Layout): Message {
  const { end } = cursor
  cursor.end = length(cursor) + cursor.at
  const message = layout.read(cursor)
  cursor.end = end
  return message
}

/** Reads a field, whose tag has been read. False when it is kept beside those that are known. */
function readField(cursor: Cursor, message: Draft, known: Field, wire: number): boolean {
  const { name, field, list, read, values } = known
  if (wire !== known.wire) {
    if (!list || wire !== WIRE.bytes) return malformed(`${nameOf(field)} has the wire type ${wire}`)
    return readPacked(cursor, message[name] as Value[], known)
  }
  const start = cursor.at
  const value = read(cursor, field)
  if (values?.has(value as number) === false) {
    keep(message, field.number, wire, cursor.view.subarray(start, cursor.at))
    return false
  }
  if (list) (message[name] as Value[]).push(value)
  else if (field.message !== undefined && Object.hasOwn(message, name))
    malformed(`${nameOf(field)} is there twice`)
  else message[name] = value
  return true
}

function readPacked(cursor: Cursor, list: Value[], { field, read }: Field): true {
  const { end } = cursor
  cursor.end = length(cursor) + cursor.at
  while (cursor.at < cursor.end) list.push(read(cursor, field))
  cursor.end = end
  return true
}

function keepUnknown(cursor: Cursor, message: Message, tag: number): void {
  const start = cursor.at
  if (tag >>> 3 === 0) malformed('a field has the number 0')
  switch (tag & 7) {
    case WIRE.varint:
      varint(cursor)
      break
    case WIRE.fixed64:
      take(cursor, 8)
      break
    case WIRE.bytes:
      take(cursor, length(cursor))
      break
    case WIRE.fixed32:
      take(cursor, 4)
      break
    default:
      malformed(`the field ${tag >>> 3} has the wire type ${tag & 7}`)
  }
  keep(message, tag >>> 3, tag & 7, cursor.view.subarray(start, cursor.at))
}

function keep(message: Message, no: number, wireType: number, data: Uint8Array): void {
  const unknown = (message.$unknown ??= [])
  unknown.push({ no, wireType: WIRE_TYPES[wireType] as WireType, data })
}

/** The number of a field and its wire type, which have 32 bits. */
function tagOf(cursor: Cursor): number {
  const start = cursor.at
  const tag = varint(cursor)
  const size = cursor.at - start
  if (size > 5 || (size === 5 && (cursor.bytes[start + 4] as number) > 0xf))
    malformed('a tag has more than 32 bits')
  return tag
}

/** The low 32 bits of a number. */
function varint(cursor: Cursor): number {
  const { bytes, end } = cursor
  const first = bytes[cursor.at]
  if (cursor.at < end && first !== undefined && first < 0x80) {
    cursor.at++
    return first
  }
  let value = 0
  for (let shift = 0; shift < 70; shift += 7) {
    if (cursor.at >= end) malformed('a number is cut off')
    const byte = bytes[cursor.at++] as number
    if (shift < 32) value |= (byte & 0x7f) << shift
    if (byte < 0x80) return value >>> 0
  }
  return malformed('a number has more than ten bytes')
}

const SMALL: readonly bigint[] = Array.from({ length: 0x80 }, (_, index) => BigInt(index))

function varint64(cursor: Cursor): bigint {
  const start = cursor.at
  const low = varint(cursor)
  if (low < SMALL.length && cursor.at - start === 1) return SMALL[low] as bigint
  // Four bytes hold 28 bits: a number that is as short has nothing above.
  if (cursor.at - start < 5) return BigInt(low)
  let high = 0
  for (let index = 4; index < cursor.at - start; index++) {
    const bits = (cursor.bytes[start + index] as number) & 0x7f
    high |= index === 4 ? bits >>> 4 : bits << (index * 7 - 32)
  }
  return high === 0 ? BigInt(low) : (BigInt(high >>> 0) << 32n) | BigInt(low)
}

function zigzag(cursor: Cursor): number {
  const value = varint(cursor)
  return (value >>> 1) ^ -(value & 1)
}

function fixed64(cursor: Cursor): bigint {
  const at = cursor.at
  take(cursor, 8)
  return cursor.bytes.readBigUInt64LE(at)
}

/** A length, of what is all within the message. */
function length(cursor: Cursor): number {
  const size = varint(cursor)
  if (size > cursor.end - cursor.at)
    malformed(`${size} bytes do not fit where ${cursor.end - cursor.at} are left`)
  return size
}

function take(cursor: Cursor, size: number): Uint8Array {
  const start = cursor.at
  if (size > cursor.end - start) malformed('a field is cut off')
  cursor.at += size
  return cursor.view.subarray(start, cursor.at)
}

function text(cursor: Cursor, field: DescField): string {
  const size = length(cursor)
  const start = cursor.at
  cursor.at += size
  const value = cursor.bytes.toString('utf8', start, cursor.at)
  // What is not UTF-8 becomes U+FFFD, which may also be there by itself.
  if (value.includes('\ufffd') && !Buffer.from(value).equals(cursor.bytes.subarray(start, cursor.at))) {
    throw new DecodeFault({ reason: 'not-text', message: `${nameOf(field)} is not UTF-8` })
  }
  return value
}

function malformed(message: string): never {
  throw new DecodeFault({ reason: 'malformed-record', message })
}
