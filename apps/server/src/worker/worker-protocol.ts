import type { Limits, Timeouts } from '@x/http1'
import type { KQueueHandle } from '@x/kevent'
import type { MountInfo, MountTableHandle } from '@x/mounttable'
import type { LogLevel } from '../config/config.ts'
import type { MountSpec } from '../handler.ts'

/** What a worker is started with. */
export interface WorkerData {
  readonly worker: number
  /** Of its counters, see `ServerMemory`. */
  readonly stripe: number
  /** It takes the place of a thread that has loaded too much. */
  readonly renewal: boolean
  /** Handlers that it may have done with before it is renewed; 0: any number. */
  readonly recycle: number
  readonly queue: KQueueHandle
  readonly table: MountTableHandle
  readonly memory: SharedArrayBuffer
  /** Path of the control door. */
  readonly control: string
  /** Borrowed: the control thread owns and closes it. */
  readonly listener: number
  readonly batch: number
  readonly limits: Partial<Limits>
  /** Most connections of the process. */
  readonly connections: number | undefined
  readonly timeouts: Partial<Timeouts>
  readonly logLevel: LogLevel
  /** Whether each request is logged. */
  readonly logRequests: boolean
}

/** What a worker tells the control thread. */
export type FromWorker =
  /** It serves; `consumer` is its number in the queue. */
  | { readonly type: 'ready'; readonly consumer: number; readonly engine: number }
  /** It has taken the listener out of the queue, and accepted whoever had been waiting. */
  | { readonly type: 'listener-retired' }
  /** The server is closing, and this was its last connection. */
  | { readonly type: 'connections-gone' }
  /** Connections are out of service, to go to another process. */
  | { readonly type: 'yielded' }
  /** A handler wants to know what is mounted in this moment. */
  | { readonly type: 'mounts-wanted' }
  /** It has had a turn. */
  | { readonly type: 'pong' }
  /** It has done with `recycle` handlers or more, whose modules stay in its memory as long as it lives. */
  | { readonly type: 'worn' }

/** What the control thread tells a worker. */
export type ToWorker =
  | { readonly type: 'mounts'; readonly mounts: MountInfo<MountSpec>[] }
  /** The process is to end, so event streams do; see EventStreams. */
  | { readonly type: 'end-streams' }
  /** Say `pong` when it is your turn. */
  | { readonly type: 'ping' }
  /** Take no more events, answer what is in hand, and leave. */
  | { readonly type: 'retire' }
  /** Leave: let go of the queue and the table, and end. */
  | { readonly type: 'leave' }
