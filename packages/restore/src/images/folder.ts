import type { DescMessage, MessageValidType } from '@bufbuild/protobuf'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { RestoreError } from '../errors.ts'
import type { Format } from './format.ts'
import { ImageFile } from './image-file.ts'
import type { Allowance } from './read-options.ts'
import { recordsOf, type ImageRecord } from './records.ts'
import { fileError, refusal } from './refusal.ts'
import type { Work } from './slices.ts'

type Records<Head extends DescMessage, Rest extends DescMessage> = ImageRecord<
  MessageValidType<Head> | MessageValidType<Rest>
>[]

const SLICE_RECORDS = 256

/**
 * A folder of images that is being read. An image that is absent has no records. What is wrong with one does not keep
 * the others from being read: all problems are thrown together by {@link Folder.end}.
 */
export class Folder {
  /** Names of all that is in it. */
  readonly names: ReadonlySet<string>
  readonly allowance: Allowance
  /** img_version. The inventory, which says it, is itself always as in version 1. */
  version: 1 | 2 = 1
  readonly #path: string
  readonly #refusals: RestoreError[] = []

  constructor(path: string, allowance: Allowance) {
    this.#path = resolve(path)
    this.allowance = allowance
    try {
      this.names = new Set(readdirSync(path))
    } catch (error) {
      throw fileError(error, 'unreadable', path, path)
    }
  }

  /** Numbers N of the images `PREFIX-N.img`, ascending; hexadecimal with radix 16. */
  numbers(prefix: string, radix: 10 | 16): number[] {
    const digits = radix === 16 ? '(?:0|[1-9a-f][0-9a-f]{0,7})' : '(?:0|[1-9][0-9]{0,9})'
    const pattern = new RegExp(`^${prefix}-(${digits})\\.img$`)
    return [...this.names]
      .map((name) => pattern.exec(name)?.[1])
      .filter((digits) => digits !== undefined)
      .map((digits) => parseInt(digits, radix))
      .sort((a, b) => a - b)
  }

  open(name: string): ImageFile {
    return new ImageFile(join(this.#path, name), name)
  }

  *records<Head extends DescMessage, Rest extends DescMessage>(
    name: string,
    format: Format<Head, Rest>,
  ): Work<Records<Head, Rest>> {
    const records: Records<Head, Rest> = []
    if (!this.names.has(name)) return records
    yield* this.attempt(() => this.#readRecords(name, format, records))
    return records
  }

  *#readRecords<Head extends DescMessage, Rest extends DescMessage>(
    name: string,
    format: Format<Head, Rest>,
    records: Records<Head, Rest>,
  ): Work<void> {
    const file = this.open(name)
    try {
      for (const record of recordsOf(file, format, this.version, this.allowance)) {
        records.push(record)
        if (records.length % SLICE_RECORDS === 0) yield
      }
      yield
    } finally {
      file[Symbol.dispose]()
    }
  }

  *messages<Schema extends DescMessage>(
    name: string,
    format: Format<Schema>,
  ): Work<MessageValidType<Schema>[]> {
    return (yield* this.records(name, format)).map(({ message }) => message)
  }

  /** The one record of an image that has no more; undefined when the image is absent, or wrong. */
  *single<Schema extends DescMessage>(
    name: string,
    format: Format<Schema>,
  ): Work<ImageRecord<MessageValidType<Schema>> | undefined> {
    if (!this.names.has(name)) return undefined
    const before = this.#refusals.length
    const records = yield* this.records(name, format)
    if (this.#refusals.length === before && records.length !== 1) {
      const reason = records.length === 0 ? 'missing-record' : 'surplus-record'
      this.note(refusal(reason, name, `it has ${records.length} records instead of one`))
    }
    return records[0]
  }

  /** Does a part of the work; what is refused in it is kept for the end. */
  *attempt<T>(part: () => Work<T>): Work<T | undefined> {
    try {
      return yield* part()
    } catch (error) {
      this.note(error)
      return undefined
    }
  }

  /** The same of a part that is done at once. */
  check<T>(part: () => T): T | undefined {
    try {
      return part()
    } catch (error) {
      this.note(error)
      return undefined
    }
  }

  /** Keeps a refusal for the end. Other errors are thrown. */
  note(error: unknown): void {
    if (!(error instanceof RestoreError)) throw error
    this.#refusals.push(error)
  }

  /** Throws all that was refused. */
  end(): void {
    const [first, ...others] = this.#refusals
    if (first === undefined) return
    if (others.length === 0) throw first
    throw new RestoreError(this.#refusals.flatMap(({ problems }) => problems))
  }
}
