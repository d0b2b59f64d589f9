import type { IncomingMessage, ServerResponse } from 'node:http'
import type { HandlerContext, HandlerModule, HttpRequest, ResponseLike } from '../../handler.ts'
import { ListenerRequest } from './listener-request.ts'
import { ListenerResponse } from './listener-response.ts'
import { ListenerSocket } from './listener-socket.ts'

/** A listener of node:http's event 'request': a function of one's own, an app of Express, `fastify.routing`. */
export type NodeListener = (request: IncomingMessage, response: ServerResponse) => unknown

/**
 * Makes a handler of a listener of node:http: `export const { handle } = fromNodeListener(app)`.
 *
 * The listener gets a real IncomingMessage and a real ServerResponse. `url` is without the path of the mount, which
 * is in `baseUrl`; `originalUrl` is the whole. What it throws, or rejects with, before its response has begun is
 * answered with 500. Not sent are the reason phrase, and interim responses but 100.
 * @throws {TypeError} when it is no function.
 */
export function fromNodeListener(listener: NodeListener): Pick<HandlerModule, 'handle'> {
  if (typeof listener !== 'function') {
    throw new TypeError('fromNodeListener() takes a function (request, response), such as an app of Express')
  }
  return { handle: (request, ctx) => listen(listener, request, ctx) }
}

function listen(
  listener: NodeListener,
  request: HttpRequest,
  ctx: HandlerContext,
): ResponseLike | Promise<ResponseLike> {
  const socket = new ListenerSocket(request)
  const incoming = new ListenerRequest(request, ctx, socket)
  const outgoing = new ListenerResponse(incoming, socket)
  const failed = (error: unknown): void => {
    if (!ListenerResponse.fail(outgoing, error))
      ctx.log.error('the listener failed after its response', { err: error })
  }
  incoming.onFailure = failed
  socket.on('timeout', () => {
    const heard = [incoming, outgoing].filter((each) => each.emit('timeout', socket))
    // As a server of Node's does when nobody listens.
    if (heard.length === 0 && socket.listenerCount('timeout') === 1) socket.destroy()
  })
  try {
    const returned = listener(incoming, outgoing)
    if (isPromise(returned)) returned.then(undefined, failed)
  } catch (error) {
    failed(error)
  }
  if (!outgoing.writableEnded) endWith(ctx, outgoing, socket)
  return ListenerResponse.answered(outgoing)
}

/** Breaks the exchange off with the context's signal. Most are over before: a signal is not made for those. */
function endWith(ctx: HandlerContext, outgoing: ListenerResponse, socket: ListenerSocket): void {
  const watching = setImmediate(() => {
    const { signal } = ctx
    if (signal === undefined) return
    const end = (): void => {
      socket.destroy(signal.reason instanceof Error ? signal.reason : undefined)
    }
    if (signal.aborted) end()
    else {
      signal.addEventListener('abort', end)
      outgoing.once('close', () => {
        signal.removeEventListener('abort', end)
      })
    }
  })
  outgoing.once('close', () => {
    clearImmediate(watching)
  })
}

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Partial<Promise<unknown>> | undefined | null)?.then === 'function'
}
