import * as v from 'valibot'
import { issueLines, strictObject } from '../../config/strict-object.ts'
import type { ControlClient } from '../../control/control-client.ts'
import {
  mountRequestSchema,
  nothingSchema,
  replaceRequestSchema,
  unmountRequestSchema,
} from '../../control/control-protocol.ts'
import { mountName } from '../../config/mount-name.ts'

/** A request that was refused, with the status of the response and a sentence. */
export class Refusal extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

interface Place {
  readonly prefix: string
  readonly host?: string | undefined
}

/** What an action is done with. */
export interface ActionContext {
  readonly client: ControlClient
  readonly signal: AbortSignal | undefined
  /** The mount that the page itself is served by. */
  ownMount(): Promise<Place | undefined>
}

type Action = (body: object, context: ActionContext) => Promise<object>

/** Each takes the body without its `confirm`, and resolves with the answer. */
export const actions: ReadonlyMap<string, Action> = new Map<string, Action>([
  [
    'mount',
    async (body, { client, signal }) => ({
      mount: await client.mount(parse(mountRequestSchema, body), signal),
    }),
  ],
  [
    'replace',
    async (body, context) => {
      const request = parse(replaceRequestSchema, body)
      await refuseOwn(request, context, 'replace')
      return { mount: await context.client.replace(request, context.signal) }
    },
  ],
  [
    'unmount',
    async (body, context) => {
      const request = parse(unmountRequestSchema, body)
      await refuseOwn(request, context, 'unmount')
      await context.client.unmount(request, context.signal)
      return {}
    },
  ],
  [
    'reload',
    (body, { client, signal }) => {
      parse(nothingSchema, body)
      return client.reload(signal)
    },
  ],
  [
    'restart',
    (body, { client, signal }) => {
      // Not with `wait`: the last request that the old process has in hand would be this one.
      parse(strictObject({}), body)
      return client.restart({}, signal)
    },
  ],
])

/** Runs the action if its body confirms it. */
export async function act(action: Action, body: unknown, context: ActionContext): Promise<object> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new Refusal(400, 'EINVAL', 'the body is no JSON object')
  const { confirm, ...request } = body as Record<string, unknown>
  if (confirm !== true) {
    throw new Refusal(
      428,
      'ERR_NOT_CONFIRMED',
      'nothing has been done: this changes a running server; confirm it with "confirm": true in the body',
    )
  }
  return action(request, context)
}

function parse<T>(schema: v.GenericSchema<unknown, T>, body: object): T {
  const parsed = v.safeParse(schema, body)
  if (!parsed.success) throw new Refusal(400, 'EINVAL', issueLines(parsed.issues).join('; '))
  return parsed.output
}

/** It would wait for the end of this request, which waits for it. */
async function refuseOwn({ prefix, host }: Place, context: ActionContext, command: string): Promise<void> {
  const own = await context.ownMount()
  if (own === undefined || mountName(own.prefix, own.host) !== mountName(prefix, host)) return
  throw new Refusal(
    409,
    'EDEADLK',
    `this page is served by that mount, and would wait for itself; use the command x-server ${command} ${prefix}`,
  )
}
