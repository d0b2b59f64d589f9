import { decode, encode } from '../../json-message/json-message.ts'

/** How a request and its response go through a door: the head is JSON, and the body follows. The README has its fields. */

/** The head of a request. Header fields are pairs, names in lower case, values as Latin-1 text. */
export interface RequestHead {
  method: string
  /** As the client has sent it. */
  target: string
  host: string
  version: '1.0' | '1.1'
  headers: [string, string][]
  /** The fields that followed the body, where there were any. */
  trailers?: [string, string][]
  remoteAddress?: string
  remotePort?: number
  /** The path of the mount, and what follows it in the path of the target. */
  mountPath: string
  path: string
}

export interface ResponseHead {
  status: number
  headers: [string, string][]
}

export interface DoorMessage {
  head: unknown
  body: Uint8Array
}

export const encodeMessage = (head: RequestHead | ResponseHead, body: Uint8Array): Buffer =>
  encode(head, [body])

/** @throws {TypeError} for what is no message. The body is a view of `bytes`. */
export function decodeMessage(bytes: Buffer): DoorMessage {
  const message = decode(bytes)
  if (message === undefined)
    throw new TypeError('the message is shorter than it says, or its head is not JSON')
  return { head: message.json, body: message.bytes }
}

/** @throws {TypeError} */
export function checkResponseHead(head: unknown): ResponseHead {
  const { status, headers } = fieldsOf(head)
  if (!Number.isInteger(status)) throw new TypeError('the head of a response has a status')
  return { status: status as number, headers: checkHeaders(headers) }
}

/** @throws {TypeError} */
export function checkRequestHead(head: unknown): RequestHead {
  const { method, target, host, version, headers, trailers, remoteAddress, remotePort, mountPath, path } =
    fieldsOf(head)
  for (const text of [method, target, host, mountPath, path]) {
    if (typeof text !== 'string')
      throw new TypeError('the head of a request has a method, target, host, mountPath and path')
  }
  return {
    method: method as string,
    target: target as string,
    host: host as string,
    version: version === '1.0' ? '1.0' : '1.1',
    headers: checkHeaders(headers),
    ...(trailers !== undefined && { trailers: checkHeaders(trailers) }),
    ...(typeof remoteAddress === 'string' && { remoteAddress }),
    ...(typeof remotePort === 'number' && { remotePort }),
    mountPath: mountPath as string,
    path: path as string,
  }
}

function fieldsOf(head: unknown): Record<string, unknown> {
  if (typeof head !== 'object' || head === null) throw new TypeError('the head of a message is an object')
  return head as Record<string, unknown>
}

function checkHeaders(headers: unknown): [string, string][] {
  const isPair = (pair: unknown): boolean =>
    Array.isArray(pair) && pair.length === 2 && pair.every((each) => typeof each === 'string')
  if (!Array.isArray(headers) || !headers.every(isPair)) {
    throw new TypeError('the headers of a message are pairs of texts')
  }
  return headers as [string, string][]
}
