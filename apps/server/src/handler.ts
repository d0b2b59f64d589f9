import type { HttpRequest, ResponseLike } from '@x/http1'
import type { MountInfo } from '@x/mounttable'

export type { HttpRequest, ResponseLike }

/** What to mount, as it goes to every worker: the module's absolute path or `builtin:NAME`, and its options. */
export interface MountSpec {
  module: string
  options?: unknown
}

/** Writes to the server's log, with the mount, its generation and the worker beside what is given. */
export interface HandlerLog {
  debug(message: string, fields?: Record<string, unknown>): void
  info(message: string, fields?: Record<string, unknown>): void
  warn(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** Whether the server takes requests. */
export interface ServerHealth {
  /** It accepts connections, does not stop, and at least one worker serves. */
  readonly ready: boolean
  readonly state: 'starting' | 'running' | 'draining'
  /** Worker threads that serve. */
  readonly workers: number
}

/** What a handler knows of its place in the server. */
export interface HandlerContext {
  /** The prefix that the handler is mounted on. */
  readonly mountPath: string
  /** The rest of the request's path after `mountPath`, undecoded: starts with `/` or is empty; '' in init and cleanup. */
  readonly path: string
  /** Counts the handlers that were mounted: a replacement has a greater one than what it replaced. */
  readonly generation: number
  readonly worker: number
  /** The `options` of the mount, as configured. */
  readonly options: unknown
  readonly log: HandlerLog
  /** Aborted when the client is gone or the drain was forced. */
  readonly signal?: AbortSignal
  /** What is mounted, as of half a second ago at most while it is asked for all the time. */
  mounts(): MountInfo<MountSpec>[]
  /** What is mounted in this moment, asked of the control thread. */
  mountsNow(): Promise<MountInfo<MountSpec>[]>
  health(): ServerHealth
  /** The server's counters by name, since it was started; the README lists them. */
  counters(): Record<string, number>
}

/** What a handler module exports. */
export interface HandlerModule {
  readonly handle: (request: HttpRequest, ctx: HandlerContext) => ResponseLike | Promise<ResponseLike>
  /** Called once in each worker before the first request; if it throws, nothing is mounted anywhere. */
  readonly init?: (ctx: HandlerContext) => void | Promise<void>
  /** Called once in each worker after the last request. */
  readonly cleanup?: (ctx: HandlerContext) => void | Promise<void>
}
