import { Worker } from 'node:worker_threads'
import { invalid } from './errors.ts'
import type { PoolHandle } from './pool-handle.ts'

/** What a server creation callback is told. */
export interface ServerRequest {
  /** For the new thread, which calls `bind` with it. */
  readonly handle: PoolHandle
  /** The thread is for one door only (DOOR_PRIVATE). */
  readonly private: boolean
  /** All threads that there are run procedures (DOOR_DEPLETION_CB); else it is one of the first. */
  readonly depletion: boolean
}

/**
 * Makes a thread of a pool (door_server_create(3C)): a worker that calls `bind(handle)`. The pool watches it, so that
 * nothing is lost when it ends; the caller may watch it too. Null declines: callers wait until a thread is free.
 */
export type ServerCreation = (request: ServerRequest) => Worker | null

/** A worker that does nothing else, and keeps no process alive. */
export const createServerThread: ServerCreation = ({ handle }) => {
  const worker = new Worker(new URL('server-thread.js', directory()), {
    workerData: handle,
    execArgv: execArgv(),
    name: 'door server',
  })
  worker.unref()
  return worker
}

/**
 * Those of the process, as any worker has them: to name them would fail for each that is V8's (`--max-old-space-size`). A
 * worker that runs a file cannot have `--input-type`, and then has none.
 */
const execArgv = (): string[] | undefined =>
  process.execArgv.some((argument) => argument.startsWith('--input-type')) ? [] : undefined

/** Of the built package, when this is its source. */
const directory = (): URL => new URL(import.meta.url.endsWith('.ts') ? '../dist/' : './', import.meta.url)

let creation: ServerCreation = createServerThread

/** What pools without a callback of their own make their threads by. */
export const serverCreation = (): ServerCreation => creation

/**
 * Replaces the callback that makes server threads, for all pools of this thread that were not given one of their own
 * (door_server_create(3C)). Null is the one that was there at first. Returns the previous one.
 */
export function setServerCreation(callback: ServerCreation | null): ServerCreation {
  if (callback !== null && typeof callback !== 'function')
    throw invalid('door_server_create', 'the callback is a function, or null')
  const previous = creation
  creation = callback ?? createServerThread
  return previous
}
