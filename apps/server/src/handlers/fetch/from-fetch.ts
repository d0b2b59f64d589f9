import type { HandlerContext, HandlerModule, HttpRequest, ResponseLike } from '../../handler.ts'
import { asksToClose, isConnectionField } from '../connection-fields.ts'
import { FetchRequest } from './fetch-request.ts'
import { responseBody } from './response-body.ts'

/** A handler as runtimes with the fetch API have it; `ctx` stands where they give an environment. */
export type FetchHandler = (request: Request, ctx: HandlerContext) => Response | Promise<Response>

const badRequest: ResponseLike = {
  status: 400,
  headers: { 'content-type': 'text/plain; charset=utf-8' },
  body: '400: the target or the host is no URL\n',
}

/**
 * Makes a handler of a function from a WHATWG Request to a Response: `export const { handle } = fromFetch(app.fetch)`.
 *
 * The URL is the whole one, with the path of the mount. Bodies are streamed both ways, and read only as far as
 * somebody asks. `request.signal` is the one of the context. Fields that speak of the connection are left out of both.
 * @throws {TypeError} when it is no function.
 */
export function fromFetch(fetch: FetchHandler): Pick<HandlerModule, 'handle'> {
  if (typeof fetch !== 'function') {
    throw new TypeError(
      'fromFetch() takes a function from a Request to a Response, such as app.fetch of Hono',
    )
  }
  return {
    handle(request, ctx) {
      const url = urlOf(request)
      if (url === undefined) return badRequest
      const answer: unknown = fetch(new FetchRequest(url, request, ctx), ctx)
      return answer instanceof Promise ? answer.then(responseOf) : responseOf(answer)
    },
  }
}

function urlOf({ host, path, query }: HttpRequest): string | undefined {
  const url = `http://${host === '' ? 'localhost' : host}${path}${query === undefined ? '' : `?${query}`}`
  return URL.canParse(url) ? url : undefined
}

async function responseOf(response: unknown): Promise<ResponseLike> {
  if (!(response instanceof Response)) throw new TypeError('the fetch handler has not returned a Response')
  const headers: [string, string][] = []
  for (const [name, value] of response.headers) {
    if (!isConnectionField(name)) headers.push([name, value])
    else if (name === 'connection' && asksToClose(value)) headers.push([name, 'close'])
  }
  const body = response.body === null ? null : await responseBody(response.body as ReadableStream<Uint8Array>)
  return { status: response.status, headers, body }
}
