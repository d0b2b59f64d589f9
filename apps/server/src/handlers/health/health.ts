import type { HttpRequest, ResponseLike } from '@x/http1'
import * as v from 'valibot'
import { issueLines, show, strictObject } from '../../config/strict-object.ts'
import type { HandlerContext, HandlerModule } from '../../handler.ts'
import { refusedUnlessRead } from '../read-only.ts'

const checks = ['live', 'ready'] as const

const healthOptions = strictObject({
  check: v.optional(
    v.picklist(checks, (issue) => `${show(issue.input)} is not a check; use ${checks.join(' or ')}`),
    'live',
  ),
})

/**
 * Tells a supervisor or a balancer how the server is, at its mount path: with `check: "live"` 200 whenever it
 * answers, with `check: "ready"` 200 or 503.
 * @throws {Error} with one line for each wrong option.
 */
export function health(options: unknown): HandlerModule {
  const parsed = v.safeParse(healthOptions, options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  const { check } = parsed.output
  return { handle: (request, ctx) => respond(check === 'ready', request, ctx) }
}

function respond(mustBeReady: boolean, request: HttpRequest, ctx: HandlerContext): ResponseLike {
  const refused = refusedUnlessRead(request, ctx.path)
  if (refused !== undefined) return refused
  const { ready, state, workers } = ctx.health()
  return {
    status: mustBeReady && !ready ? 503 : 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: `${JSON.stringify({ ready, state, workers })}\n`,
  }
}
