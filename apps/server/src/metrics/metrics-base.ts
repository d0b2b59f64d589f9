import type { MountInfo } from '@x/mounttable'
import { groupCounters } from '../status/counters.ts'
import { mountName } from '../config/mount-name.ts'
import type { MountSpec } from '../handler.ts'

/**
 * What counters begin with in a process that goes on with another one's connections: the counts of all its
 * predecessors, so that no counter goes back with a restart.
 */
export interface MetricsBase {
  /** Totals by name; a name that the successor does not have is passed over. */
  readonly counters: Readonly<Record<string, number>>
  /** Requests that mount points were given. */
  readonly mounts: readonly { readonly prefix: string; readonly host?: string; readonly served: number }[]
}

type Counted = Pick<MountInfo<MountSpec>, 'prefix' | 'host' | 'served'>

/** What a successor begins with, from what this process counts, its own base included. */
export function metricsBase(
  counters: Readonly<Record<string, number>>,
  mounts: readonly Counted[],
): MetricsBase {
  const points = new Map<string, MetricsBase['mounts'][number]>()
  for (const { prefix, host, served } of mounts) {
    // The generations of a mount point all tell the same number.
    points.set(mountName(prefix, host), host === undefined ? { prefix, served } : { prefix, host, served })
  }
  return { counters: groupCounters(counters).totals, mounts: [...points.values()] }
}

/** Adds what the mount points of earlier processes were given. */
export class ServedBefore {
  #served: ReadonlyMap<string, number> = new Map()

  /** Also again: an old process may count on until its last request is answered. */
  set(base: MetricsBase): void {
    this.#served = new Map(base.mounts.map((mount) => [mountName(mount.prefix, mount.host), mount.served]))
  }

  added<Mount extends Counted>(mounts: readonly Mount[]): Mount[] {
    if (this.#served.size === 0) return [...mounts]
    return mounts.map((mount) => ({
      ...mount,
      served: mount.served + (this.#served.get(mountName(mount.prefix, mount.host)) ?? 0),
    }))
  }
}
