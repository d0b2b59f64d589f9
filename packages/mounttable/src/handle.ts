import type { MessagePort } from 'node:worker_threads'

/**
 * What a worker needs to join a table. It can be cloned, and its port must be in the transfer list:
 * `new Worker(url, { workerData: { table: handle }, transferList: handle.transfer })`.
 */
export interface MountTableHandle {
  /** The member's id, never used for another one. */
  readonly id: number
  readonly stripe: number
  /** That of the table's control thread: a handle is worth nothing to the next one. */
  readonly epoch: number
  readonly buffer: SharedArrayBuffer
  readonly port: MessagePort
  readonly transfer: MessagePort[]
}
