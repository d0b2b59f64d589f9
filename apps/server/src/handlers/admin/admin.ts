import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Http1Error } from '@x/http1'
import type { HttpRequest, ResponseLike } from '@x/http1'
import * as v from 'valibot'
import { issueLines } from '../../config/strict-object.ts'
import { ControlClient } from '../../control/control-client.ts'
import { longestRequest } from '../../control/control-protocol.ts'
import { ControlError, codeOf, messageOf } from '../../errors.ts'
import type { HandlerContext, HandlerModule } from '../../handler.ts'
import type { ServerAccess } from '../server-access.ts'
import { act, actions, Refusal } from './actions.ts'
import { adminOptions } from './admin-options.ts'
import { adminPage, pagePolicy } from './admin-page.ts'
import { isSameOrigin } from './same-origin.ts'
import { SnapshotFeed } from './snapshot-feed.ts'
import { takeSnapshot } from './snapshot.ts'
import { readToken } from './token-file.ts'
import { TokenGuard } from './token-guard.ts'

/** On every response: nothing is kept, guessed, framed, or read by other origins. */
const guarded = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'referrer-policy': 'same-origin',
}
const strictPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

/** What the page is made of, beside itself; under `src` in the package too. */
const pageFile = (name: string): string =>
  readFileSync(new URL(`../../../src/handlers/admin/page/${name}`, import.meta.url), 'utf8')

/** Statuses of what the server refuses; any other code is 422. */
const statuses: Readonly<Record<string, number>> = {
  ERR_MOUNT_NOT_FOUND: 404,
  ERR_MOUNT_TAKEN: 409,
  ERR_RESTART_BUSY: 409,
  ERR_NO_SERVER: 503,
  ERR_MOUNT_DRAIN_DEADLINE: 504,
  ETIMEDOUT: 504,
}

/**
 * A page for operators, who look at the server and change it, at `/` of its mount. Whoever has the token can do what
 * the control door can: run any module as the server's user.
 * @throws {Error} for options or a token file that cannot be used.
 */
export function admin(options: unknown, access: ServerAccess): HandlerModule {
  const parsed = v.safeParse(adminOptions, options)
  if (!parsed.success) throw new Error(issueLines(parsed.issues).join('; '))
  const handler = new Admin(readToken(parsed.output.tokenFile), access)
  return {
    handle: (request, ctx) => handler.handle(request, ctx),
    cleanup: () => {
      handler.close()
    },
  }
}

type Read = (ctx: HandlerContext) => ResponseLike | Promise<ResponseLike>

/** Milliseconds between two log entries of wrong tokens. */
const REFUSAL_PAUSE = 1000

class Admin {
  readonly #guard: TokenGuard
  readonly #client: ControlClient
  readonly #feed: SnapshotFeed
  #refusals = 0
  #quietUntil = 0
  readonly #script = pageFile('admin.js')
  readonly #style = pageFile('admin.css')
  readonly #reads: ReadonlyMap<string, Read> = new Map<string, Read>([
    ['', (ctx) => page(ctx)],
    ['/', (ctx) => page(ctx)],
    ['/admin.js', () => text('text/javascript; charset=utf-8', this.#script)],
    ['/admin.css', () => text('text/css; charset=utf-8', this.#style)],
    [
      '/events',
      (ctx) =>
        this.#feed.watch(ctx.generation, ctx.signal, { ...guarded, 'content-security-policy': strictPolicy }),
    ],
    ['/status', async (ctx) => json(200, await takeSnapshot(this.#client, ctx.signal))],
  ])

  constructor(token: string, access: ServerAccess) {
    this.#guard = new TokenGuard(token)
    this.#client = new ControlClient(access.control)
    this.#feed = new SnapshotFeed(access, () => takeSnapshot(this.#client))
  }

  close(): void {
    this.#feed.close()
  }

  async handle(request: HttpRequest, ctx: HandlerContext): Promise<ResponseLike> {
    const authorization = request.headers.get('authorization')
    if (!this.#guard.admits(authorization)) {
      // A browser asks without one first.
      if (authorization !== undefined) this.#noteRefused(request, ctx)
      const refusal = refused(
        401,
        'EACCES',
        'give the token of the server as the password, with any user name',
      )
      return { ...refusal, headers: { ...refusal.headers, 'www-authenticate': TokenGuard.challenge } }
    }
    try {
      return await this.#answer(request, ctx)
    } catch (error) {
      return failure(error)
    }
  }

  /** Whoever tries tokens does not fill the log: an entry a second, with how many there were since the one before. */
  #noteRefused({ remoteAddress }: HttpRequest, ctx: HandlerContext): void {
    this.#refusals++
    const now = performance.now()
    if (now < this.#quietUntil) return
    ctx.log.warn('a wrong token was refused', { remote: remoteAddress, times: this.#refusals })
    this.#quietUntil = now + REFUSAL_PAUSE
    this.#refusals = 0
  }

  #answer(request: HttpRequest, ctx: HandlerContext): ResponseLike | Promise<ResponseLike> {
    const { path } = ctx
    const read = this.#reads.get(path)
    const action = actions.get(path.slice(1))
    if (read !== undefined) {
      if (request.method === 'GET' || request.method === 'HEAD') return read(ctx)
      return onlyBy('GET, HEAD')
    }
    if (action === undefined) throw new Refusal(404, 'ENOENT', 'there is nothing here')
    if (request.method !== 'POST') return onlyBy('POST')
    return this.#act(action, request, ctx)
  }

  async #act(
    action: Parameters<typeof act>[0],
    request: HttpRequest,
    ctx: HandlerContext,
  ): Promise<ResponseLike> {
    const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
    if (type !== 'application/json') throw new Refusal(415, 'EINVAL', 'send Content-Type: application/json')
    if (!isSameOrigin(request)) {
      throw new Refusal(
        403,
        'EPERM',
        'this request comes from a page of another origin; use the page of this server',
      )
    }
    const answer = await act(action, await request.json(longestRequest), {
      client: this.#client,
      signal: ctx.signal,
      ownMount: async () =>
        (await ctx.mountsNow()).find(
          ({ prefix, generation }) => prefix === ctx.mountPath && generation === ctx.generation,
        ),
    })
    ctx.log.info('changed by the page', { action: ctx.path.slice(1), remote: request.remoteAddress })
    return json(200, answer)
  }
}

function page(ctx: HandlerContext): ResponseLike {
  const nonce = randomBytes(16).toString('base64')
  return text('text/html; charset=utf-8', adminPage(ctx.mountPath, nonce), pagePolicy(nonce))
}

function text(type: string, body: string, policy: string = strictPolicy): ResponseLike {
  return {
    status: 200,
    headers: { ...guarded, 'content-type': type, 'content-security-policy': policy },
    body,
  }
}

interface JsonResponse extends ResponseLike {
  readonly headers: Record<string, string>
}

function json(status: number, content: object): JsonResponse {
  const headers = { ...guarded, 'content-type': 'application/json', 'content-security-policy': strictPolicy }
  return { status, headers, body: `${JSON.stringify(content)}\n` }
}

const refused = (status: number, code: string, message: string): JsonResponse =>
  json(status, { error: { code, message } })

function onlyBy(allow: string): ResponseLike {
  const refusal = refused(405, 'EINVAL', `only ${allow} is answered here`)
  return { ...refusal, headers: { ...refusal.headers, allow } }
}

function failure(error: unknown): ResponseLike {
  if (error instanceof Refusal) return refused(error.status, error.code, error.message)
  if (error instanceof Http1Error && error.status !== undefined)
    return refused(error.status, error.code, messageOf(error))
  if (!(error instanceof ControlError)) throw error
  return refused(statuses[error.code] ?? 422, codeOf(error), error.message)
}
