import { closeSync, openSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { RestoreError } from '../errors.ts'
import { fileError, refuse } from './refusal.ts'
import { inSlices, type Work } from './slices.ts'

/** Bytes that belong to a message: in memory, or somewhere in a file. */
export type Payload = Uint8Array | FilePart

/** Bytes of a file, from `offset` on. */
export interface FilePart {
  /** Absolute, where a reader made it. */
  readonly path: string
  readonly offset: number
  readonly length: number
}

const CHUNK = 2 ** 18

/**
 * The bytes of a payload, a part at a time, none of which is written again. A file that has become too short is a
 * RestoreError `payload-short`, one that cannot be read is `unreadable`.
 */
export function* payloadChunks(payload: Payload): Generator<Uint8Array, void> {
  if (payload instanceof Uint8Array) {
    if (payload.length > 0) yield payload
    return
  }
  const fd = open(payload)
  try {
    for (let done = 0; done < payload.length;) {
      const chunk = read(fd, payload, done)
      done += chunk.length
      yield chunk
    }
  } finally {
    closeSync(fd)
  }
}

function open({ path }: FilePart): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw fileError(error, 'unreadable', basename(path), path)
  }
}

function read(fd: number, { path, offset, length }: FilePart, done: number): Uint8Array {
  const chunk = new Uint8Array(Math.min(CHUNK, length - done))
  let count: number
  try {
    count = readSync(fd, chunk, 0, chunk.length, offset + done)
  } catch (error) {
    throw fileError(error, 'unreadable', basename(path), path)
  }
  if (count === 0) {
    refuse('payload-short', basename(path), `it ends ${length - done} bytes before the end of what it holds`)
  }
  return chunk.subarray(0, count)
}

/**
 * The bytes of a payload as a whole. One that is longer than `limit` bytes is a RestoreError `payload-too-long`;
 * otherwise as {@link payloadChunks}.
 */
export async function payloadBytes(payload: Payload, limit: number): Promise<Uint8Array> {
  return await inSlices(collect(payload, limit))
}

function* collect(payload: Payload, limit: number): Work<Uint8Array> {
  if (payload.length > limit) {
    const message = `a payload has ${payload.length} bytes, and ${limit} are allowed: read it in chunks`
    throw new RestoreError([{ reason: 'payload-too-long', message }])
  }
  if (payload instanceof Uint8Array) return payload
  const bytes = new Uint8Array(payload.length)
  let at = 0
  for (const chunk of payloadChunks(payload)) {
    bytes.set(chunk, at)
    at += chunk.length
    yield
  }
  return bytes
}
