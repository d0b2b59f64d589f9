import { closeSync, constants, openSync, readSync } from 'node:fs'
import { binding } from './binding.ts'
import { isSystemError, textOf } from './errno.ts'

/** Data of a file, between holes. */
export interface Extent {
  readonly at: number
  readonly data: Buffer
}

/** So much is read at once. */
const most = 2 ** 26

/** A file has more content than is allowed. */
export class TooLarge extends Error {
  readonly size: number

  constructor(size: number) {
    super(`${size} bytes`)
    this.size = size
  }
}

// The access time stays as it is, where that is allowed.
function open(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOATIME)
  } catch (error) {
    if (!isSystemError(error, 'EPERM')) throw error
    return openSync(path, constants.O_RDONLY)
  }
}

function read(file: number, begin: number, length: number): Buffer {
  const data = Buffer.allocUnsafe(length)
  let got = 0
  while (got < length) {
    const more = readSync(file, data, got, length - got, begin + got)
    if (more === 0) break
    got += more
  }
  return got === length ? data : data.subarray(0, got)
}

/**
 * What is in the file at `path`, /proc/…/fd/N for one without a name. Extents begin and end at multiples of `unit`, the
 * end of the file aside. Throws TooLarge, and what node:fs throws.
 */
export function readContent(path: string, limit: number, unit = 1): Extent[] {
  const file = open(path)
  try {
    const bounds = binding.extents(file)
    if (typeof bounds === 'number') throw new Error(`lseek: ${textOf(bounds)}`)
    const size = bounds.reduce((sum, bound, at) => (at % 2 === 0 ? sum - bound : sum + bound), 0)
    if (size > limit) throw new TooLarge(size)
    const extents: Extent[] = []
    for (let at = 0; at < bounds.length; at += 2) {
      const begin = Math.floor((bounds[at] ?? 0) / unit) * unit
      const end = bounds[at + 1] ?? 0
      for (let from = begin; from < end; from += most) {
        extents.push({ at: from, data: read(file, from, Math.min(most, end - from)) })
      }
    }
    return extents
  } finally {
    closeSync(file)
  }
}
