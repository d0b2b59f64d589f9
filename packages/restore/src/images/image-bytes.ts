import { toBinary, type DescMessage, type Message, type MessageValidType } from '@bufbuild/protobuf'
import { COMMON_MAGIC, INVENTORY, type Format } from './format.ts'
import { DEFAULT_LIMITS } from './image-file.ts'
import { findFault } from './message-check.ts'
import type { Payload } from './payload.ts'
import { payloadLengths } from './records.ts'
import { refuse } from './refusal.ts'

/** An image that can be written: its records are encoded, and its payloads are still where they were. */
export interface ImageBytes {
  readonly name: string
  /** What it is made of, one after another. */
  readonly parts: readonly Payload[]
}

/** Encodes an image. What cannot be encoded is refused as readImages would refuse it, or as `not-encodable`. */
export class ImageEncoder<Head extends DescMessage, Rest extends DescMessage = Head> implements ImageBytes {
  readonly name: string
  readonly parts: Payload[] = []
  readonly #format: Format<Head, Rest>
  #count = 0

  /** `version` is img_version. */
  constructor(name: string, format: Format<Head, Rest>, version: number) {
    this.name = name
    this.#format = format
    if (version !== 1 && format.magic !== INVENTORY.magic) this.parts.push(u32(COMMON_MAGIC))
    this.parts.push(u32(format.magic))
  }

  /** Adds a record, and the payloads that follow it, which must be as long as it says. */
  add(message: MessageValidType<Head> | MessageValidType<Rest>, payloads: readonly Payload[] = []): this {
    const schema = this.#count === 0 ? this.#format.head : this.#format.rest
    const place = `record ${++this.#count}`
    const bytes = this.#encode(schema, message, place)
    if (bytes.length > DEFAULT_LIMITS.record) {
      refuse(
        'record-too-long',
        this.name,
        `${place} has ${bytes.length} bytes, and ${DEFAULT_LIMITS.record} are allowed`,
      )
    }
    const given = payloads.map(({ length }) => length)
    const said = payloadLengths(message, given[0] ?? 0) ?? []
    if (said.map(Number).join() !== given.join()) {
      const lengths = (list: readonly (number | bigint)[]): string => list.join(' and ') || 'no'
      refuse('length-mismatch', this.name, `${place} says ${lengths(said)} bytes, and has ${lengths(given)}`)
    }
    this.parts.push(u32(bytes.length), bytes, ...payloads)
    return this
  }

  #encode(schema: DescMessage, message: Message, place: string): Uint8Array {
    const fault = findFault(schema, message)
    if (fault !== undefined) refuse(fault.reason, this.name, `${place}: ${fault.message}`)
    try {
      return toBinary(schema, message)
    } catch (error) {
      return refuse('not-encodable', this.name, `${place}: ${(error as Error).message}`)
    }
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}
