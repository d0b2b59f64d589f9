/**
 * How a request and its response go through a door: four bytes, the length of a head in little endian; the head, JSON
 * in UTF-8; and the body, which is the rest. The README has the fields of the heads.
 */

/** The head of a request. Header fields are pairs, names in lower case, values as Latin-1 text. */
export interface RequestHead {
  method: string
  /** As the client has sent it. */
  target: string
  host: string
  version: '1.0' | '1.1'
  headers: [string, string][]
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

export function encodeMessage(head: RequestHead | ResponseHead, body: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(head))
  const size = Buffer.alloc(4)
  size.writeUInt32LE(text.length)
  return Buffer.concat([size, text, body])
}

/** @throws {TypeError} for what is no message. The body is a view of `bytes`. */
export function decodeMessage(bytes: Buffer): DoorMessage {
  const size = bytes.length < 4 ? Number.POSITIVE_INFINITY : bytes.readUInt32LE()
  if (4 + size > bytes.length) throw new TypeError('the message is shorter than it says')
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', 4, 4 + size))
  } catch (cause) {
    throw new TypeError('the head of the message is not JSON', { cause })
  }
  return { head, body: bytes.subarray(4 + size) }
}

/** @throws {TypeError} */
export function checkResponseHead(head: unknown): ResponseHead {
  const { status, headers } = fieldsOf(head)
  if (!Number.isInteger(status)) throw new TypeError('the head of a response has a status')
  return { status: status as number, headers: checkHeaders(headers) }
}

/** @throws {TypeError} */
export function checkRequestHead(head: unknown): RequestHead {
  const { method, target, host, version, headers, remoteAddress, remotePort, mountPath, path } =
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
