import { closeSync, mkdtempSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { encodeSet } from './encode-set.ts'
import type { ImageBytes } from './image-bytes.ts'
import type { ImageSet } from './image-set.ts'
import { payloadChunks, type Payload } from './payload.ts'
import { checkFields, checkSignal } from './read-options.ts'
import { fileError, refuse } from './refusal.ts'
import { inSlices, type Work } from './slices.ts'

export interface WriteOptions {
  /** When it is aborted, writing stops with its reason, and nothing is left. */
  signal?: AbortSignal | undefined
}

/**
 * Writes a set as a folder of images that CRIU's decoder reads, in the layout with an image `files`. The folder, which
 * only its owner can read, appears as a whole under its name when all is written; it must not exist or be empty.
 * `present` and `missing` of the set are not looked at.
 *
 * Throws a RestoreError with one {@link Problem}, before any file is made, with the `reason`
 * - `folder-not-empty`;
 * - `no-pstree`, `unknown-version`, `missing-field`, `surplus-field`, `id-mismatch`, `not-text`, `bad-extent`,
 *   `record-too-long`: what would be written is what readImages refuses by that word;
 * - `not-encodable`: a field holds a value that its type does not have;
 * - `length-mismatch`: a message says another length than its payload has;
 * - `table-mismatch`: the table of a task is not the one that its ids and the inventory say;
 * - `duplicate-image`: two parts of the set have the same pid, pagesId or shmid;
 * - `bad-controls`: there are not 32 control characters;
 * - `bad-option`: options are wrong;
 *
 * and later, leaving nothing, with
 * - `payload-short`, `unreadable`: the file of a payload has changed, or cannot be read;
 * - `unwritable`: the system refuses it (`errno` says why).
 */
export async function writeImages(folder: string, set: ImageSet, options: WriteOptions = {}): Promise<void> {
  checkFields(options, ['signal'])
  checkSignal(options.signal)
  await inSlices(writeSet(resolve(folder), set), options.signal)
}

function* writeSet(folder: string, set: ImageSet): Work<void> {
  const images = yield* encodeSet(set)
  checkEmpty(folder)
  const draft = attempt(folder, folder, () => mkdtempSync(`${folder}.`))
  let done = false
  try {
    for (const image of images) yield* writeImage(draft, image)
    attempt(folder, folder, () => {
      renameSync(draft, folder)
    })
    done = true
  } finally {
    if (!done) rmSync(draft, { recursive: true, force: true })
  }
}

function checkEmpty(folder: string): void {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw fileError(error, 'unwritable', folder, folder)
  }
  if (names.length > 0) refuse('folder-not-empty', folder, 'it is not empty: name a folder that is not there')
}

function* writeImage(draft: string, { name, parts }: ImageBytes): Work<void> {
  const path = join(draft, name)
  const fd = attempt(name, path, () => openSync(path, 'wx', 0o600))
  try {
    for (const bytes of gathered(parts)) {
      attempt(name, path, () => {
        writeAll(fd, bytes)
      })
      yield
    }
  } finally {
    closeSync(fd)
  }
}

const BATCH = 2 ** 18

// Records are small: many of them go into one call. What is given is good until the next one is asked for.
function* gathered(parts: readonly Payload[]): Generator<Uint8Array, void> {
  const total = parts.reduce((sum, { length }) => sum + length, 0)
  const batch = new Uint8Array(Math.min(BATCH, total))
  let used = 0
  for (const part of parts) {
    for (const chunk of payloadChunks(part)) {
      if (used + chunk.length > batch.length) {
        yield batch.subarray(0, used)
        used = 0
      }
      if (chunk.length >= batch.length) {
        yield chunk
        continue
      }
      batch.set(chunk, used)
      used += chunk.length
    }
  }
  yield batch.subarray(0, used)
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done)
}

function attempt<T>(image: string, path: string, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fileError(error, 'unwritable', image, path)
  }
}
