import type { CallContext, Caller, Procedure } from '@x/doors'
import type { HttpRequest, ResponseLike } from '../../handler.ts'
import { checkRequestHead, decodeMessage, encodeMessage } from './door-message.ts'
import { DoorRequest } from './door-request.ts'

/** What a handler behind a door knows of its place. */
export interface DoorContext {
  readonly mountPath: string
  /** The rest of the request's path after `mountPath`, undecoded: starts with `/` or is empty. */
  readonly path: string
  /** Aborted when the server does not wait any more: its client is gone, or the time is over. */
  readonly signal: AbortSignal
  /** The process that calls: the server, or whoever else has opened the door. */
  readonly caller: Caller
}

/** As the `handle` of a handler module, in another process. */
export type DoorHandler = (request: HttpRequest, ctx: DoorContext) => ResponseLike | Promise<ResponseLike>

/**
 * Makes the procedure of a door out of a handler, for a mount of `builtin:door`:
 * `createDoor(serveDoor(handle)).attach(path)`. The response goes as a whole: a body that is a stream is gathered,
 * and trailers are let go. A file body cannot be sent. What the handler throws is the mount's 502.
 * @throws {TypeError} when it is no function.
 */
export function serveDoor(handler: DoorHandler): Procedure {
  if (typeof handler !== 'function') throw new TypeError('serveDoor() takes a function (request, ctx)')
  return (data, call) => answer(handler, data, call)
}

async function answer(handler: DoorHandler, data: Buffer | null, call: CallContext): Promise<Buffer> {
  const { head, body } = decodeMessage(data ?? Buffer.alloc(0))
  const request = checkRequestHead(head)
  const { mountPath, path } = request
  const { signal, caller } = call
  const response = await handler(new DoorRequest(request, body, signal), { mountPath, path, signal, caller })
  if (typeof response !== 'object' || (response as unknown) === null) {
    throw new TypeError('the handler of the door has returned nothing; return a response')
  }
  const { status = 200 } = response
  return encodeMessage({ status, headers: fieldsOf(response.headers) }, await bytesOf(response.body))
}

function fieldsOf(headers: ResponseLike['headers'] = {}): [string, string][] {
  if (Symbol.iterator in headers) return Array.from(headers, ([name, value]) => [name, value])
  return Object.entries(headers).flatMap(([name, value]) =>
    (typeof value === 'object' ? value : [String(value)]).map((each): [string, string] => [name, each]),
  )
}

async function bytesOf(body: ResponseLike['body']): Promise<Uint8Array> {
  if (body === undefined || body === null) return Buffer.alloc(0)
  if (typeof body === 'string') return Buffer.from(body)
  if (body instanceof Uint8Array) return body
  if (!(Symbol.asyncIterator in body)) {
    throw new TypeError('the body of a response through a door is a text, bytes, a stream of them, or null')
  }
  const pieces: Uint8Array[] = []
  for await (const piece of body as AsyncIterable<string | Uint8Array>) {
    pieces.push(typeof piece === 'string' ? Buffer.from(piece) : piece)
  }
  return Buffer.concat(pieces)
}
