import { clientGone, responseError } from './errors.ts'
import type { Request } from './request.ts'
import { discardBody, type LaterTrailers, type StreamedBody } from './response.ts'
import { finalLines } from './response-trailers.ts'

// A piece is handed to the socket in parts of this size, so that what waits for a slow client stays small.
const PART = 256 * 1024
const NOTHING = new Uint8Array(0)

/** How a streamed response reaches its client. */
export interface StreamTarget {
  readonly request: Request
  readonly length: number | undefined
  readonly chunked: boolean
  readonly trailers: string | LaterTrailers | undefined
  /** Waits until everything written has been taken by the socket. Throws ERR_HTTP_CLIENT_GONE. */
  drained(): Promise<void>
}

/**
 * Sends the pieces of a body, asking for the next one only when the socket has taken the last. Rejects with the
 * error of the source or of the trailers, with ERR_HTTP_RESPONSE when the length announced is not met or the trailers
 * cannot be sent, and with ERR_HTTP_CLIENT_GONE; the source is returned or cancelled in each case.
 */
export async function streamBody(stream: StreamedBody, target: StreamTarget): Promise<void> {
  let sent = 0
  try {
    await target.drained()
  } catch (error) {
    discardBody(stream)
    throw error
  }
  // The type of lib.dom's ReadableStream hides that Node's is iterable; leaving the loop cancels it.
  for await (const piece of stream as AsyncIterable<string | Uint8Array>) {
    const bytes = toBytes(piece)
    sent += bytes.length
    if (target.length !== undefined && sent > target.length) throw wrongLength(target.length, sent)
    await writePiece(bytes, target)
  }
  if (target.length !== undefined && sent < target.length) throw wrongLength(target.length, sent)
  if (target.chunked) await writeEnd(target)
}

async function writeEnd(target: StreamTarget): Promise<void> {
  const lines = target.trailers === undefined ? '' : await finalLines(target.trailers)
  if (lines === '') await write(NOTHING, target, 1)
  // The last chunk stands before them, so the piece is none.
  else await write(Buffer.from(`0\r\n${lines}\r\n`, 'latin1'), { ...target, chunked: false }, 1)
}

function toBytes(piece: unknown): Uint8Array {
  if (typeof piece === 'string') return Buffer.from(piece)
  if (piece instanceof Uint8Array) return piece
  throw responseError('A piece of a body is a string or a Uint8Array.')
}

async function writePiece(bytes: Uint8Array, target: StreamTarget): Promise<void> {
  for (let at = 0; at < bytes.length; at += PART) await write(bytes.subarray(at, at + PART), target, 0)
}

async function write(bytes: Uint8Array, target: StreamTarget, last: 0 | 1): Promise<void> {
  const { request, chunked } = target
  const { native } = request.memory
  if (request.isGone) throw clientGone()
  const waiting = native.write(request.descriptor, request.generation, bytes, chunked ? 1 : 0, last)
  if (waiting < 0) throw clientGone()
  if (waiting > 0) await target.drained()
}

function wrongLength(announced: number, sent: number): Error {
  return responseError(`The Content-Length is ${announced}, but the body has ${sent} bytes or more.`)
}
