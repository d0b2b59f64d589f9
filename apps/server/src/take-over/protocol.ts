import * as v from 'valibot'
import { ControlError } from '../errors.ts'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { restartAttemptSchema, type RestartAttempt } from './restart-history.ts'

/*
 * How a new process takes over from an old one: calls of a door of the old one. docs/restart.md tells what they mean.
 *
 * A message is the length of a JSON text (32 bits, little endian), that text, and bytes that belong to it.
 */

/** Of the messages, and of the states of connections. Another one is refused, in both directions. */
export const PROTOCOL = 1

/** Connections of one answer: a call of a door has at most 1024 descriptors. */
export const MOST_CONNECTIONS = 1000

/** Milliseconds within which the new process has to say what comes next. */
export const patience = {
  /** Between the call that watches it and its first step, which may come first. */
  watch: 1_000,
  /** From its first call on, to load and try its handlers. */
  prepare: 60_000,
  /** While nobody serves. */
  takeOver: 5_000,
} as const

/** The path of the door of the server with this control socket. */
export const doorPath = (control: string): string => `${control}.restart`

export interface Begin {
  readonly step: 'begin'
  readonly protocol: number
  readonly version: string
  readonly pid: number
  /** Descriptors that the new process can open yet. */
  readonly descriptors: number
  readonly host: string
  readonly port: number
}
export type Request =
  | Begin
  | { readonly step: 'watch' | 'take' | 'commit' | 'late' }
  | { readonly step: 'abort'; readonly reason: string }

export const requestSchema: v.GenericSchema<unknown, Request> = v.variant('step', [
  v.strictObject({
    step: v.literal('begin'),
    protocol: v.number(),
    version: v.string(),
    pid: v.number(),
    descriptors: v.number(),
    host: v.string(),
    port: v.number(),
  }),
  v.strictObject({ step: v.picklist(['watch', 'take', 'commit', 'late']) }),
  v.strictObject({ step: v.literal('abort'), reason: v.string() }),
])

const countedSchema: v.GenericSchema<unknown, MetricsBase> = v.strictObject({
  counters: v.record(v.string(), v.pipe(v.number(), v.finite())),
  mounts: v.array(
    v.strictObject({ prefix: v.string(), host: v.exactOptional(v.string()), served: v.number() }),
  ),
})

/** The listener goes along. */
export interface Begun {
  readonly pid: number
  readonly version: string
  readonly connections: number
}
export const begunSchema: v.GenericSchema<unknown, Begun> = v.strictObject({
  pid: v.number(),
  version: v.string(),
  connections: v.number(),
})

/** `sizes` of the states, in the order of the descriptors that go along; their bytes follow. `rest`: ask again. */
export interface Connections {
  readonly sizes: number[]
  readonly rest: boolean
  /** What the old process has counted so far. */
  readonly counted: MetricsBase
}
export const connectionsSchema: v.GenericSchema<unknown, Connections> = v.strictObject({
  sizes: v.array(v.number()),
  rest: v.boolean(),
  counted: countedSchema,
})

export interface Committed {
  readonly counted: MetricsBase
  /** The newest first. */
  readonly restarts: readonly RestartAttempt[]
}
/** Nothing can be refused any more: what is left out is empty, and what is not known is passed over. */
export const committedSchema: v.GenericSchema<unknown, Committed> = v.object({
  counted: countedSchema,
  restarts: v.optional(v.array(restartAttemptSchema), []),
})
const errorSchema = v.strictObject({ error: v.strictObject({ code: v.string(), message: v.string() }) })

export interface Message {
  readonly json: unknown
  readonly bytes: Buffer
}

const LENGTH = 4

export function encode(json: object, bytes: readonly Uint8Array[] = []): Buffer {
  const text = Buffer.from(JSON.stringify(json))
  const length = Buffer.alloc(LENGTH)
  length.writeUInt32LE(text.length)
  return Buffer.concat([length, text, ...bytes])
}

/** Undefined for what is no message. */
export function decode(data: Buffer | null): Message | undefined {
  if (data === null || data.length < LENGTH) return undefined
  const end = LENGTH + data.readUInt32LE(0)
  if (end > data.length) return undefined
  try {
    return { json: JSON.parse(data.toString('utf8', LENGTH, end)), bytes: data.subarray(end) }
  } catch {
    return undefined
  }
}

export const refusal = (code: string, message: string): Buffer => encode({ error: { code, message } })

/** What an answer says. Throws ControlError with the code of a refusal, or ERR_CONTROL_PROTOCOL. */
export function answerOf<T>(data: Buffer, schema: v.GenericSchema<unknown, T>): { json: T; bytes: Buffer } {
  const message = decode(data)
  const refused = v.safeParse(errorSchema, message?.json)
  if (refused.success) throw new ControlError(refused.output.error.code, refused.output.error.message)
  const parsed = v.safeParse(schema, message?.json)
  if (message !== undefined && parsed.success) return { json: parsed.output, bytes: message.bytes }
  throw new ControlError(
    'ERR_CONTROL_PROTOCOL',
    'the old process answers as no server of this version; stop it and start the new one',
  )
}
