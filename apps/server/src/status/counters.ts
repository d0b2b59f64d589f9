/**
 * The server's counters come as one flat record: those of http1 (`requests`, `responses2xx`, `accepted`, …) by
 * name, and each of them once more for every worker as `worker.N.NAME`.
 */
export interface CounterGroups {
  /** With `connections`, those open now: a worker may close what another one accepted, so only all tell them. */
  totals: Record<string, number>
  /** In the order of their numbers. */
  workers: { worker: number; counters: Record<string, number> }[]
}

interface Connections {
  accepted?: number
  closed?: number
  connections?: number
}

const ofWorker = /^worker\.(\d+)\.(.+)$/u

/** Whether a counter is of the histogram of durations, which nobody reads number by number. */
export const isOfDurations = (name: string): boolean => name.startsWith('duration')

/** Parts the totals from the workers' own. */
export function groupCounters(counters: Readonly<Record<string, number>>): CounterGroups {
  const totals: Record<string, number> & Connections = {}
  const workers = new Map<number, Record<string, number>>()
  for (const [name, value] of Object.entries(counters)) {
    const [, worker, own] = ofWorker.exec(name) ?? []
    if (worker === undefined || own === undefined) {
      totals[name] = value
      continue
    }
    const group = workers.get(Number(worker)) ?? {}
    group[own] = value
    workers.set(Number(worker), group)
  }
  if (totals.accepted !== undefined && totals.closed !== undefined) {
    totals.connections ??= totals.accepted - totals.closed
  }
  const inOrder = [...workers].sort(([left], [right]) => left - right)
  return { totals, workers: inOrder.map(([worker, group]) => ({ worker, counters: group })) }
}
