/*
 * How the doors of this server are spoken with: the length of a JSON text (32 bits, little endian), that text in UTF-8,
 * and bytes that belong to it, which are the rest.
 */

export interface JsonMessage {
  readonly json: unknown
  /** A view of what was decoded. */
  readonly bytes: Buffer
}

const LENGTH = 4

export function encode(json: object, bytes: readonly Uint8Array[] = []): Buffer {
  const text = Buffer.from(JSON.stringify(json))
  const length = Buffer.alloc(LENGTH)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text, ...bytes])
}

/** Undefined for what is no message. */
export function decode(data: Buffer | null): JsonMessage | undefined {
  if (data === null || data.length < LENGTH) return undefined
  const end = LENGTH + data.readUInt32LE(0)
  if (end > data.length) return undefined
  try {
    return { json: JSON.parse(data.toString('utf8', LENGTH, end)), bytes: data.subarray(end) }
  } catch {
    return undefined
  }
}
