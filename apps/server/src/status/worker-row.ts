import * as v from 'valibot'

/** A worker thread as operators see it. */
export interface WorkerRow {
  worker: number
  state: 'starting' | 'serving'
  /** Milliseconds since the epoch; left out while one that has died is about to be replaced. */
  started?: number
  /** Requests that were served under its number. */
  requests: number
}

export const workerRowSchema: v.GenericSchema<unknown, WorkerRow> = v.object({
  worker: v.number(),
  state: v.picklist(['starting', 'serving']),
  started: v.exactOptional(v.number()),
  requests: v.number(),
})
