import * as v from 'valibot'
import { issueLines } from '../../config/strict-object.ts'
import { messageOf } from '../../errors.ts'
import type { HandlerContext, HandlerModule, HttpRequest, ResponseLike } from '../../handler.ts'
import { asksToClose, isConnectionField } from '../connection-fields.ts'
import { DoorCallError, DoorConnection } from './door-connection.ts'
import type { DoorFailure } from './door-connection.ts'
import { checkResponseHead, decodeMessage, encodeMessage } from './door-message.ts'
import type { RequestHead } from './door-message.ts'
import { doorMountOptions } from './door-options.ts'

const plain = { 'content-type': 'text/plain; charset=utf-8' }
const answers: Readonly<Record<DoorFailure, ResponseLike>> = {
  unserved: {
    status: 503,
    headers: { ...plain, 'retry-after': '1' },
    body: '503: nobody serves the door of this mount\n',
  },
  gone: { status: 502, headers: plain, body: '502: the door of this mount has gone during the request\n' },
  refused: { status: 502, headers: plain, body: '502: the door of this mount has refused the request\n' },
  late: { status: 504, headers: plain, body: '504: the door of this mount has not answered in time\n' },
  large: {
    status: 413,
    headers: plain,
    body: '413: the request is larger than the door of this mount takes\n',
  },
  abandoned: { status: 500, headers: plain, body: '500: the request was given up\n' },
}

/**
 * Answers each request by a call of a door, which another process serves with `serveDoor`. Nobody has to serve it when
 * the mount is made, and it may come and go.
 *
 * 503 when nobody serves the name; 502 when the server went away during the call, has thrown, or has returned no
 * response; 504 after `timeout`; 413 above what the door takes.
 * @throws {Error} for options that cannot be used.
 */
export function doorMount(options: unknown): HandlerModule {
  const parsed = v.safeParse(doorMountOptions, options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  const connection = new DoorConnection(parsed.output.path, parsed.output.timeout)
  return {
    handle: (request, ctx) => forward(connection, request, ctx),
    cleanup() {
      connection.close()
    },
  }
}

async function forward(
  connection: DoorConnection,
  request: HttpRequest,
  ctx: HandlerContext,
): Promise<ResponseLike> {
  const isHead = request.method === 'HEAD'
  const head = headOf(request, ctx)
  const body = await request.bytes()
  const trailers = [...request.trailers]
  if (trailers.length > 0) head.trailers = trailers
  try {
    const reply = await connection.call(encodeMessage(head, body), ctx.signal ?? never)
    return responseOf(reply, isHead)
  } catch (error) {
    const failure = error instanceof DoorCallError ? error.failure : 'refused'
    if (failure !== 'abandoned')
      ctx.log.warn('the door has not answered', { failure, reason: messageOf(error) })
    return answers[failure]
  }
}

const never = new AbortController().signal

function headOf(request: HttpRequest, ctx: HandlerContext): RequestHead {
  const { method, target, host, version, remoteAddress, remotePort } = request
  const headers = [...request.headers].filter(([name]) => !isConnectionField(name))
  return {
    method,
    target,
    host,
    version,
    headers,
    ...(remoteAddress !== undefined && { remoteAddress }),
    ...(remotePort !== undefined && { remotePort }),
    mountPath: ctx.mountPath,
    path: ctx.path,
  }
}

/** @throws {TypeError} for what is no response. */
function responseOf(reply: Buffer, isHead: boolean): ResponseLike {
  const message = decodeMessage(reply)
  const { status, headers } = checkResponseHead(message.head)
  if (status < 200 || status > 599)
    throw new TypeError(`the status of a response is 200 to 599, not ${status}`)
  const fields: [string, string][] = []
  for (const [name, value] of headers) {
    const field = name.toLowerCase()
    if (field === 'connection' && asksToClose(value)) fields.push([name, 'close'])
    // The length is that of the body, which is here; of a HEAD only the door knows it.
    else if (!isConnectionField(field) && (isHead || field !== 'content-length')) fields.push([name, value])
  }
  return { status, headers: fields, body: message.body.length === 0 ? null : message.body }
}
