import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { cursorOf, type Cursor } from './decode.ts'
import { COMMON_MAGIC, SERVICE_MAGIC } from './format.ts'
import type { Payload } from './payload.ts'
import { fileError, refuse } from './refusal.ts'

/** What an image may ask of its reader; beyond it, the image is refused. */
export interface Limits {
  /** Bytes of one record, without what follows it. 16 MiB by default. */
  readonly record: number
  /** Records of one image. 4 194 304 by default. */
  readonly records: number
  /** Bytes of one payload. 1 TiB by default. */
  readonly payload: number
}

export const DEFAULT_LIMITS: Limits = { record: 2 ** 24, records: 2 ** 22, payload: 2 ** 40 }

/** Bytes of payload that may still be kept in memory; one larger than `each` stays in its file. */
export interface Inline {
  readonly each: number
  all: number
}

const WINDOW = 2 ** 18

/**
 * An image that is read from its start to its end. What it gives are views of windows that are never written again, so
 * they stay good. No more than its size is ever allocated.
 */
export class ImageFile implements Disposable {
  /** File name, for messages. */
  readonly name: string
  readonly #path: string
  readonly #fd: number
  readonly #size: number
  #window: Cursor = cursorOf(new Uint8Array(0))
  /** Offset of the window, and of what is next, in the file. */
  #start = 0
  #at = 0

  constructor(path: string, name: string) {
    this.name = name
    this.#path = path
    try {
      // Without O_NONBLOCK a FIFO of that name would wait for a writer.
      this.#fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    } catch (error) {
      throw fileError(error, 'unreadable', name, path)
    }
    const stat = fstatSync(this.#fd)
    this.#size = stat.size
    if (!stat.isFile()) {
      closeSync(this.#fd)
      refuse('unreadable', name, 'it is not a regular file')
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }

  /** Offset of what is next. */
  get at(): number {
    return this.#at
  }

  /** Bytes from there to the end. */
  get left(): number {
    return this.#size - this.#at
  }

  /** A cursor over the next `length` bytes, of which there must be as many left; good until the next call. */
  next(length: number): Cursor {
    if (this.#at + length > this.#start + this.#window.view.length) this.#load(length)
    this.#window.at = this.#at - this.#start
    this.#window.end = this.#window.at + length
    this.#at += length
    return this.#window
  }

  /** A number of four bytes, the lowest first. */
  u32(): number {
    const { bytes, at } = this.next(4)
    return bytes.readUInt32LE(at)
  }

  /** The next `length` bytes as a payload, of which there must be as many left. */
  payload(length: number, inline: Inline): Payload {
    if (length <= inline.each && length <= inline.all) {
      inline.all -= length
      const { view, at, end } = this.next(length)
      return view.subarray(at, end)
    }
    const payload = { path: this.#path, offset: this.#at, length }
    this.#at += length
    return payload
  }

  /** Reads the magic numbers at the start, and gives the image's own. `version` is img_version; without it both do. */
  magic(version: 1 | 2 | undefined): number {
    const first = this.#word()
    const prefix = first === COMMON_MAGIC || first === SERVICE_MAGIC
    if (!prefix) {
      if (version === 2)
        refuse('bad-magic', this.name, `it starts with ${hex(first)}, not ${hex(COMMON_MAGIC)}`)
      return first
    }
    if (version === 1)
      refuse('bad-magic', this.name, `it starts with ${hex(first)}, which images of version 1 do not`)
    return this.#word()
  }

  #word(): number {
    if (this.left < 4) refuse('bad-magic', this.name, 'it ends before its magic number')
    return this.u32()
  }

  #load(length: number): void {
    const view = new Uint8Array(Math.min(this.left, Math.max(length, WINDOW)))
    for (let filled = 0; filled < view.length;) {
      const count = this.#read(view, filled)
      if (count === 0) refuse('truncated-record', this.name, 'it became shorter while it was read')
      filled += count
    }
    this.#window = cursorOf(view)
    this.#start = this.#at
  }

  #read(view: Uint8Array, filled: number): number {
    try {
      return readSync(this.#fd, view, filled, view.length - filled, this.#at + filled)
    } catch (error) {
      throw fileError(error, 'unreadable', this.name, this.#path)
    }
  }
}

export const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`
