import { Buffer } from 'node:buffer'
import { copyBytes } from './copy-bytes.ts'

/** Copies lie side by side in pieces of memory of so many bytes. */
const ROOM = 8 * 1024
let memory = new Uint8Array(ROOM)
let used = 0

/**
 * The bytes of a short message, of which a Buffer is made when somebody looks. Many messages have no more than the byte
 * that descriptors need to go with, and a Buffer costs a twentieth of receiving and closing them.
 */
export class ShortData {
  readonly length: number
  readonly #memory: Uint8Array
  readonly #at: number

  /** Copies the first bytes of an array, not more than {@link ROOM}. */
  constructor(from: Uint8Array, length: number) {
    if (used + length > ROOM) {
      memory = new Uint8Array(ROOM)
      used = 0
    }
    this.length = length
    this.#memory = memory
    this.#at = used
    copyBytes(from, 0, length, memory, used)
    used += length
  }

  /** A Buffer of its own, each time. */
  toBuffer(): Buffer {
    const buffer = Buffer.allocUnsafe(this.length)
    copyBytes(this.#memory, this.#at, this.#at + this.length, buffer, 0)
    return buffer
  }
}

/** The Buffer that it is, or that is made of it. */
export function bufferOf(data: Buffer | ShortData): Buffer {
  return data instanceof ShortData ? data.toBuffer() : data
}
