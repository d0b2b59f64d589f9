import { methodNotAllowed } from '@x/http1'
import type { HttpRequest, ResponseLike } from '@x/http1'
import * as v from 'valibot'
import { groupCounters } from '../../status/counters.ts'
import type { HandlerContext, HandlerModule } from '../../handler.ts'
import { mountRow } from '../../status/mount-row.ts'
import { issueLines, strictObject } from '../../config/strict-object.ts'
import { welcomePage, welcomePolicy } from './welcome-page.ts'

const plain = { 'content-type': 'text/plain; charset=utf-8' }
const fresh = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/**
 * The page that shows what is mounted and how much is served, at `/` of its mount, and what it shows as JSON
 * at `/status.json`. It takes no options.
 * @throws {Error} if it is given options.
 */
export function welcome(options: unknown): HandlerModule {
  const parsed = v.safeParse(strictObject({}), options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  return { handle: respond }
}

function respond(request: HttpRequest, ctx: HandlerContext): ResponseLike {
  const isPage = ctx.path === '' || ctx.path === '/'
  if (!isPage && ctx.path !== '/status.json') {
    return { status: 404, headers: plain, body: '404: there is nothing here\n' }
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return methodNotAllowed(['GET', 'HEAD'])
  }
  return isPage ? page(ctx) : status(ctx)
}

function page(ctx: HandlerContext): ResponseLike {
  const headers = {
    ...fresh,
    'content-type': 'text/html; charset=utf-8',
    'content-security-policy': welcomePolicy,
  }
  return { status: 200, headers, body: welcomePage(ctx.mountPath) }
}

function status(ctx: HandlerContext): ResponseLike {
  const body = { time: Date.now(), mounts: ctx.mounts().map(mountRow), ...groupCounters(ctx.counters()) }
  return {
    status: 200,
    headers: { ...fresh, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }
}
