import * as v from 'valibot'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { restartAttemptSchema, type RestartAttempt } from './restart-history.ts'

/*
 * How a new process takes over from an old one: calls of a door of the old one. docs/restart.md tells what they mean.
 */

/** Of the messages, and of the states of connections. Another one is refused, in both directions. */
export const PROTOCOL = 2

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
  /** To say that it serves, beyond the time that it wanted for that. */
  probation: 5_000,
} as const

/** The path of the door by which the server with this control door is restarted. */
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
/** A descriptor goes along: the ledger of what was taken (see openLedger of http1). */
export interface Commit {
  readonly step: 'commit'
  /** Milliseconds until the new process will say that it serves; 0: it serves. */
  readonly probation: number
}
export type Request =
  | Begin
  | Commit
  | { readonly step: 'watch' | 'take' | 'settle' | 'late' }
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
  v.strictObject({ step: v.picklist(['watch', 'take', 'settle', 'late']) }),
  v.strictObject({
    step: v.literal('commit'),
    probation: v.pipe(v.number(), v.minValue(0), v.maxValue(600_000)),
  }),
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
