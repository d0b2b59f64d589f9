import { closeSync } from 'node:fs'
import { optionError } from './errors.ts'

/** A part of an open file as a response body; see fileBody(). */
export class FileBody {
  readonly descriptor: number
  readonly offset: number
  readonly length: number
  #open = true

  constructor(descriptor: number, offset: number, length: number) {
    this.descriptor = descriptor
    this.offset = offset
    this.length = length
  }

  /** Closes the descriptor. The engine calls it when the response is over, however it ended. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    closeSync(this.descriptor)
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * A response body that sendfile(2) sends: `length` bytes of the file from `offset`. The body owns the
 * descriptor. A file that has become shorter by then makes the response end with a reset.
 */
export function fileBody(descriptor: number, offset: number, length: number): FileBody {
  for (const [name, value] of Object.entries({ descriptor, offset, length })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw optionError(`The ${name} of a file body is a whole number from 0, not ${value}.`)
    }
  }
  return new FileBody(descriptor, offset, length)
}
