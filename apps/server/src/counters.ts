/**
 * The server's counters are one flat record: `connections` (open now), `requests`, `responses1xx` to
 * `responses5xx`, and each of these once more for every worker as `worker.N.NAME`.
 */
export interface CounterGroups {
  totals: Record<string, number>
  /** In the order of their numbers. */
  workers: { worker: number; counters: Record<string, number> }[]
}

const ofWorker = /^worker\.(\d+)\.(.+)$/u

/** Parts the totals from the workers' own. */
export function groupCounters(counters: Readonly<Record<string, number>>): CounterGroups {
  const totals: Record<string, number> = {}
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
  const inOrder = [...workers].sort(([left], [right]) => left - right)
  return { totals, workers: inOrder.map(([worker, group]) => ({ worker, counters: group })) }
}
