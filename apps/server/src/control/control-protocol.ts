import { isAbsolute } from 'node:path'
import * as v from 'valibot'
import type { MountSpec, ServerHealth } from '../handler.ts'
import { hostSchema, prefixSchema } from '../config/mount-name.ts'
import type { RestartReport } from '../take-over/restart-report.ts'
import { mountRowSchema } from '../status/mount-row.ts'
import type { MountRow } from '../status/mount-row.ts'
import { workerRowSchema, type WorkerRow } from '../status/worker-row.ts'
import { restartAttemptSchema, type RestartAttempt } from '../take-over/restart-history.ts'
import { show, strictObject, text, wholeNumber } from '../config/strict-object.ts'

/*
 * Calls of a door of mode 600, which only the server's user and root may make. docs/protocol.md has what a call is, and
 * json-message.ts what a message is. A command is a JSON text alone; of what is unknown in it nothing is done.
 *
 *   { operation: 'mounts' }                                  { mounts: MountRow[] }
 *   { operation: 'status' }                                  ServerStatus
 *   { operation: 'metrics' }                                 { type }, and bytes: text for Prometheus
 *   { operation: 'health' }                                  ServerHealth
 *   { operation: 'mount', prefix, host?, spec }              { mount: MountRow }
 *   { operation: 'replace', prefix, host?, spec, deadline? } { mount: MountRow }   once the old one has drained
 *   { operation: 'unmount', prefix, host?, deadline? }       {}                    once it has drained
 *   { operation: 'reload' }                                  ReloadReport          once all is visible
 *   { operation: 'restart', wait? }                          RestartReport         once a new process serves
 *
 * Every refusal is { error: { code, message } }. A caller that gives up ends nothing of what it has asked for.
 */

/** Most bytes of a command. */
export const longestRequest: number = 64 * 1024

const operationNames = [
  'mounts',
  'status',
  'metrics',
  'health',
  'mount',
  'replace',
  'unmount',
  'reload',
  'restart',
] as const
export type OperationName = (typeof operationNames)[number]

/** What all commands have. */
export const commandSchema: v.GenericSchema<unknown, { operation: OperationName }> = v.pipe(
  v.custom<object>(
    (input) => typeof input === 'object' && input !== null && !Array.isArray(input),
    (issue) => `${show(issue.input)} is not an object`,
  ),
  v.looseObject(
    {
      operation: v.picklist(
        operationNames,
        (issue) => `${show(issue.input)} is none; use ${operationNames.join(', ')}`,
      ),
    },
    'is missing; add it',
  ),
)

export interface UnmountRequest {
  prefix: string
  host?: string
  /** Milliseconds to wait for the requests in progress; the server's drain timeout when left out. */
  deadline?: number
}

export interface MountRequest {
  prefix: string
  host?: string
  spec: MountSpec
}

export interface ReplaceRequest extends UnmountRequest {
  spec: MountSpec
}

export interface RestartRequest {
  /** Until the old process has answered what it had in hand, too. */
  wait?: boolean
}

/** What a reload has changed, by the names of mounts as `mountName` gives them. */
export interface ReloadReport {
  mounted: string[]
  replaced: string[]
  unmounted: string[]
}

export interface ServerStatus {
  pid: number
  version: string
  state: 'running' | 'draining'
  host: string
  port: number
  /** Milliseconds since the epoch. */
  started: number
  /** The configuration's file; absent for the built-in configuration. */
  config?: string
  /** By name, since the server was started; see `CounterGroups`. */
  counters: Record<string, number>
  workers: WorkerRow[]
  /** How many there are of each state, by the names of http1's `connections()`; `open` is all of them. */
  connectionStates: Record<string, number>
  /** The newest first. */
  restarts: RestartAttempt[]
}

/** What the door commands; the supervisor implements it. Errors carry a `code`. */
export interface Control {
  mounts(): MountRow[]
  /** Resolves once the handler is ready in all workers and visible. */
  mount(request: MountRequest): Promise<MountRow>
  /** Resolves once the new handler is visible everywhere; `drained` settles when the old one is gone. */
  replace(request: ReplaceRequest): Promise<{ mount: MountRow; drained: Promise<void> }>
  /** Resolves once the last request has left and the handler is cleaned up. */
  unmount(request: UnmountRequest): Promise<void>
  /** Brings the table to what the configuration's file says now, or changes nothing. */
  reload(): Promise<ReloadReport>
  status(): ServerStatus
  /** Resolves when a new process has taken over; rejects when it has not, and this one serves on. */
  restart(request: RestartRequest): Promise<RestartReport>
  health(): ServerHealth
  /** In Prometheus' text format. */
  metrics(): string
}

const specSchema: v.GenericSchema<unknown, MountSpec> = strictObject({
  module: v.pipe(
    text('the path of a module'),
    v.check(
      (module) => isAbsolute(module) || module.startsWith('builtin:'),
      (issue) => `${show(issue.input)} is relative; give an absolute path or builtin:NAME`,
    ),
  ),
  options: v.exactOptional(v.unknown()),
})

export const deadlineSchema: v.GenericSchema<unknown, number> = wholeNumber(
  'a deadline in milliseconds',
  1,
  2 ** 31 - 1,
)

const place = { prefix: prefixSchema, host: v.exactOptional(hostSchema) }

export const mountRequestSchema: v.GenericSchema<unknown, MountRequest> = strictObject({
  ...place,
  spec: specSchema,
})
export const replaceRequestSchema: v.GenericSchema<unknown, ReplaceRequest> = strictObject({
  ...place,
  spec: specSchema,
  deadline: v.exactOptional(deadlineSchema),
})
export const unmountRequestSchema: v.GenericSchema<unknown, UnmountRequest> = strictObject({
  ...place,
  deadline: v.exactOptional(deadlineSchema),
})

/** Of an operation that has no fields. */
export const nothingSchema: v.GenericSchema<unknown, object> = strictObject({})

// Answers are read leniently: a newer server may say more than this client knows.
export const mountsAnswerSchema: v.GenericSchema<unknown, { mounts: MountRow[] }> = v.object({
  mounts: v.array(mountRowSchema),
})
export const mountAnswerSchema: v.GenericSchema<unknown, { mount: MountRow }> = v.object({
  mount: mountRowSchema,
})
export const unmountAnswerSchema: v.GenericSchema<unknown, object> = v.object({})
export const reloadAnswerSchema: v.GenericSchema<unknown, ReloadReport> = v.object({
  mounted: v.array(v.string()),
  replaced: v.array(v.string()),
  unmounted: v.array(v.string()),
})
export const statusAnswerSchema: v.GenericSchema<unknown, ServerStatus> = v.object({
  pid: v.number(),
  version: v.string(),
  state: v.picklist(['running', 'draining']),
  host: v.string(),
  port: v.number(),
  started: v.number(),
  config: v.exactOptional(v.string()),
  counters: v.record(v.string(), v.number()),
  // An older server does not tell them.
  workers: v.optional(v.array(workerRowSchema), []),
  connectionStates: v.optional(v.record(v.string(), v.number()), {}),
  restarts: v.optional(v.array(restartAttemptSchema), []),
})
export const restartRequestSchema: v.GenericSchema<unknown, RestartRequest> = strictObject({
  wait: v.exactOptional(v.boolean('wait is true or false')),
})
export const restartAnswerSchema: v.GenericSchema<unknown, RestartReport> = v.object({
  pid: v.number(),
  version: v.string(),
  connections: v.number(),
  stall: v.number(),
  followed: v.exactOptional(v.number()),
})
export const metricsAnswerSchema: v.GenericSchema<unknown, { type: string }> = v.object({ type: v.string() })
export const healthAnswerSchema: v.GenericSchema<unknown, ServerHealth> = v.object({
  ready: v.boolean(),
  state: v.picklist(['starting', 'running', 'draining']),
  workers: v.number(),
})
