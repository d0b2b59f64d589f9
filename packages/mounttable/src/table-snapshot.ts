import type { Generations } from './generations.ts'
import type { Members, MemberInfo } from './members.ts'
import type { MountInfo } from './mount.ts'
import type { MountPoint } from './mount-point.ts'
import { RUNNING, STOPPING, type SharedTable } from './shared-table.ts'

/**
 * What there is at one moment. Only the control thread changes what exists, so that is exact; leases come and go in
 * other threads all the time, but each was read once: the numbers of mounts, members and table add up.
 */
export interface TableSnapshot<Spec> {
  /** Rises by one with every change of what lookups find, and starts again after 2^32. */
  readonly version: number
  readonly state: 'running' | 'stopping' | 'closed'
  /** Leases held. */
  readonly references: number
  readonly slots: {
    readonly total: number
    readonly used: number
    /** Of the free ones, those that leases of a forced generation keep from their next use. */
    readonly kept: number
  }
  /** This thread first, then workers in the order of share(). */
  readonly members: readonly MemberInfo[]
  /** All generations, by prefix and then by age. */
  readonly mounts: readonly MountInfo<Spec>[]
}

export function takeSnapshot<Spec>(
  shared: SharedTable,
  members: Members<Spec>,
  generations: Generations<Spec>,
  points: readonly MountPoint<Spec>[],
): TableSnapshot<Spec> {
  const sums = new Array<number>(shared.stripes).fill(0)
  const add = (counts: readonly number[]): void => {
    counts.forEach((count, stripe) => (sums[stripe] = (sums[stripe] ?? 0) + count))
  }
  const kept = generations.keptSlots().map((slot) => shared.counts(slot))
  kept.forEach(add)
  const mounts = [...points]
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .flatMap(({ lineage }) => [...lineage.generations])
    .map((generation) => generations.describe(generation, add))
  return {
    version: shared.version >>> 0,
    state: nameOf(shared.tableState),
    references: sums.reduce((sum, count) => sum + count, 0),
    slots: { total: shared.slots, used: mounts.length, kept: kept.length },
    members: members.describe(sums),
    mounts,
  }
}

const nameOf = (state: number): TableSnapshot<unknown>['state'] =>
  state === RUNNING ? 'running' : state === STOPPING ? 'stopping' : 'closed'

/** As a person reads it: a line for the table, one a mount, one a member that holds leases. */
export function snapshotText({
  version,
  state,
  references,
  mounts,
  members,
}: TableSnapshot<unknown>): string {
  const rows = mounts.map((mount) => [
    `${mount.host ?? ''}${mount.prefix}`,
    mount.state,
    `generation ${mount.generation}`,
    leases(mount.references),
    `${mount.served} served`,
  ])
  const holding = members
    .filter((member) => member.references > 0)
    .map(({ id, thread, references: count }) => [
      `member ${id}`,
      `thread ${thread ?? 'unknown'}`,
      leases(count),
    ])
  return [
    `MountTable ${state}, version ${version}, ${leases(references)}`,
    ...columns(rows),
    ...columns(holding),
  ].join('\n')
}

const leases = (count: number): string => `${count} ${count === 1 ? 'lease' : 'leases'}`

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? []
  return rows.map((row) => `  ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  ')}`.trimEnd())
}
