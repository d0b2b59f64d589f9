import type { DescMessage } from '@bufbuild/protobuf'
import { basename, resolve } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { FORMATS, type Format } from './format.ts'
import { hex, ImageFile } from './image-file.ts'
import { allowanceOf, type Allowance, type ReadOptions } from './read-options.ts'
import { recordsFrom, type ImageRecord } from './records.ts'
import { refuse } from './refusal.ts'

/** One image, whatever it holds. */
export interface Image {
  /** Its kind as CRIU's tools name it: `PIPES_DATA`. */
  readonly format: string
  readonly records: readonly ImageRecord[]
}

/**
 * Reads one image, which is known by its magic number and not by its name. Throws as readImages does; `bad-magic` says
 * that it is none that matters for descriptors.
 */
export async function readImage(path: string, options: ReadOptions = {}): Promise<Image> {
  const allowance = allowanceOf(options)
  const file = new ImageFile(resolve(path), basename(path))
  try {
    const format = formatOf(file)
    const records: ImageRecord[] = []
    for await (const record of spread(file, format, allowance, options.signal)) records.push(record)
    return { format: format.name, records }
  } finally {
    file[Symbol.dispose]()
  }
}

/** The records of one image, one after another, so that they need not all be in memory. Otherwise as {@link readImage}. */
export async function* imageRecords(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<ImageRecord, void> {
  const allowance = allowanceOf(options)
  const file = new ImageFile(resolve(path), basename(path))
  try {
    yield* spread(file, formatOf(file), allowance, options.signal)
  } finally {
    file[Symbol.dispose]()
  }
}

type AnyFormat = Format<DescMessage, DescMessage>

function formatOf(file: ImageFile): AnyFormat {
  const magic = file.magic(undefined)
  return FORMATS.get(magic) ?? refuse('bad-magic', file.name, `no kind of image is known by ${hex(magic)}`)
}

const TURN_EVERY = 256

// Whoever takes the records may do it for long: the event loop turns in between.
async function* spread(
  file: ImageFile,
  format: AnyFormat,
  allowance: Allowance,
  signal: AbortSignal | undefined,
): AsyncGenerator<ImageRecord, void> {
  let count = 0
  for (const record of recordsFrom(file, format, allowance)) {
    if (count++ % TURN_EVERY === 0) {
      await setImmediate()
      signal?.throwIfAborted()
    }
    yield record
  }
}
