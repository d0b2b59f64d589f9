import { responseError } from './errors.ts'
import { FileBody } from './file-body.ts'
import type { Method } from './layout.ts'

/** Header fields of a response. Values are Latin-1 text; a list makes several fields of one name. */
export type ResponseHeaders =
  Readonly<Record<string, string | number | readonly string[]>> | Iterable<readonly [string, string]>

/**
 * - A string is sent as UTF-8, a Uint8Array as it is; its bytes must not change before they are written.
 * - What is iterated is sent chunked, or with the Content-Length that the headers state.
 * - null and undefined: an empty body.
 */
export type ResponseBody =
  string | Uint8Array | AsyncIterable<string | Uint8Array> | ReadableStream<Uint8Array> | FileBody | null

/** The fields to be sent behind a body; undefined and an empty list send none. */
export type TrailerFields = ResponseHeaders | undefined

/** Trailers of which it will be known only at the end of the body what they are. */
export type LaterTrailers = PromiseLike<TrailerFields> | (() => TrailerFields | PromiseLike<TrailerFields>)

/**
 * Trailers of a response: fields, a promise of them, or a function that is called when the body has ended. They are sent
 * behind a body that is chunked, and let go behind any other: one with a length, and every one in HTTP/1.0.
 */
export type ResponseTrailers = ResponseHeaders | LaterTrailers

/** What a handler returns; a WHATWG Response is one. */
export interface ResponseLike {
  /** From 200 to 599; default 200. */
  readonly status?: number | undefined
  readonly headers?: ResponseHeaders | undefined
  readonly body?: ResponseBody | undefined
  /**
   * Sent behind a body that is chunked, and let go with any other: one with a length, and every one in HTTP/1.0. The
   * header Trailer, which announces them, is the handler's own.
   */
  readonly trailers?: ResponseTrailers | undefined
}

/**
 * 405 with what is allowed instead, as RFC 9110 section 15.5.6 demands. An empty list says that the target takes no
 * method at all for now.
 */
export function methodNotAllowed(allowed: readonly Method[]): ResponseLike {
  const methods = allowed.join(', ')
  return {
    status: 405,
    headers: { 'content-type': 'text/plain; charset=utf-8', allow: methods },
    body: `405: only ${methods || 'no method'} is answered here\n`,
  }
}

/** A body whose bytes come one after the other. */
export type StreamedBody = AsyncIterable<string | Uint8Array> | ReadableStream<Uint8Array>

/** The status, or an error when it is none that ends a request. */
export function checkStatus(status: number | undefined): number {
  if (status === undefined) return 200
  if (!Number.isInteger(status) || status < 200 || status > 599) {
    throw responseError(`The status of a response is a whole number from 200 to 599, not ${status}.`)
  }
  return status
}

export function isStreamed(body: object): body is StreamedBody {
  return Symbol.asyncIterator in body || body instanceof ReadableStream
}

export function invalidBody(): Error {
  return responseError(
    'The body of a response is a string, a Uint8Array, an async iterable, a file body or null.',
  )
}

/** Lets go of a body that will not be sent. Errors of the source are its own affair by then. */
export function discardBody(body: ResponseBody | undefined): void {
  if (body instanceof FileBody) body.close()
  else if (body instanceof ReadableStream) body.cancel().catch(ignore)
  else if (typeof body === 'object' && body !== null && Symbol.asyncIterator in body) {
    body[Symbol.asyncIterator]().return?.().catch(ignore)
  }
}

function ignore(): void {
  // Nobody is left who could be told.
}
