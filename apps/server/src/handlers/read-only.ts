import type { HttpRequest, ResponseLike } from '@x/http1'

const plain = { 'content-type': 'text/plain; charset=utf-8' }

/** For handlers that answer exactly at their mount path, and to GET and HEAD alone: the refusal of all else. */
export function refusedUnlessRead(request: HttpRequest, path: string): ResponseLike | undefined {
  if (path !== '' && path !== '/')
    return { status: 404, headers: plain, body: '404: there is nothing here\n' }
  if (request.method === 'GET' || request.method === 'HEAD') return undefined
  return {
    status: 405,
    headers: { ...plain, allow: 'GET, HEAD' },
    body: '405: only GET and HEAD are answered here\n',
  }
}
