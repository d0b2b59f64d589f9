import type { MountInfo, MountState } from '@x/mounttable'
import * as v from 'valibot'
import type { MountSpec } from '../handler.ts'

/** A generation of a mount as operators see it, in the control protocol and on the welcome page. */
export interface MountRow {
  prefix: string
  host?: string
  module: string
  state: MountState
  generation: number
  /** Requests that use it now. */
  references: number
  /** Requests that its mount point was given, by all generations. */
  served: number
  /** Milliseconds since the epoch at which it came into this state. */
  since: number
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0))

export const mountRowSchema: v.GenericSchema<unknown, MountRow> = v.object({
  prefix: v.string(),
  host: v.exactOptional(v.string()),
  module: v.string(),
  state: v.picklist(['init', 'active', 'draining', 'drained']),
  generation: count,
  references: count,
  served: count,
  since: v.number(),
})

export function mountRow(info: MountInfo<MountSpec>): MountRow {
  const { prefix, host, spec, state, generation, references, served, since } = info
  const row = { prefix, module: spec.module, state, generation, references, served, since }
  return host === undefined ? row : { ...row, host }
}
