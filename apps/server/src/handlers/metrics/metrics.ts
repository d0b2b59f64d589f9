import { connections } from '@x/http1'
import type { HttpRequest, ResponseLike } from '@x/http1'
import * as v from 'valibot'
import { issueLines, strictObject } from '../../config/strict-object.ts'
import type { HandlerContext, HandlerModule } from '../../handler.ts'
import { expositionType } from '../../metrics/exposition.ts'
import { serverMetrics } from '../../metrics/server-metrics.ts'
import { mountRow } from '../../status/mount-row.ts'
import { version } from '../../version.ts'
import { refusedUnlessRead } from '../read-only.ts'

/**
 * The server's metrics for Prometheus, at its mount path. It takes no options.
 * @throws {Error} if it is given options.
 */
export function metrics(options: unknown): HandlerModule {
  const parsed = v.safeParse(strictObject({}), options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  return { handle: respond }
}

async function respond(request: HttpRequest, ctx: HandlerContext): Promise<ResponseLike> {
  const refused = refusedUnlessRead(request, ctx.path)
  if (refused !== undefined) return refused
  const mounts = await ctx.mountsNow()
  const body = serverMetrics({
    version,
    health: ctx.health(),
    counters: ctx.counters(),
    connections: connections(),
    mounts: mounts.map(mountRow),
  })
  return { headers: { 'content-type': expositionType, 'cache-control': 'no-store' }, body }
}
