import { durationBounds, durationCounter } from '@x/http1'
import type { ConnectionCounts } from '@x/http1'
import type { ServerHealth } from '../handler.ts'
import { mountName } from '../config/mount-name.ts'
import type { MountRow } from '../status/mount-row.ts'
import { boundText, exposition } from './exposition.ts'
import type { MetricFamily, Sample } from './exposition.ts'
import { processMetrics } from './process-metrics.ts'

/** What metrics are made of. */
export interface Measured {
  readonly version: string
  readonly health: ServerHealth
  /** Totals by name, as `ServerMemory` has them; those of single workers are passed over. */
  readonly counters: Readonly<Record<string, number>>
  readonly connections: ConnectionCounts
  readonly mounts: readonly MountRow[]
}

const statusClasses = ['2xx', '3xx', '4xx', '5xx'] as const
const phases = ['idle', 'reading', 'handling', 'writing', 'closing'] as const

/** All metrics of the server and its process, in Prometheus' text format. */
export function serverMetrics(measured: Measured): string {
  return exposition([
    ...trafficMetrics(measured),
    ...connectionMetrics(measured),
    ...mountMetrics(measured.mounts),
    ...stateMetrics(measured),
    ...processMetrics(),
  ])
}

function trafficMetrics({ counters }: Measured): MetricFamily[] {
  const total = totals(counters)
  return [
    total('x_server_requests_total', 'Requests that were read.', 'requests'),
    {
      name: 'x_server_responses_total',
      type: 'counter',
      help: 'Responses, by the class of their status.',
      samples: statusClasses.map((status) => ({
        labels: { status },
        value: counters[`responses${status}`] ?? 0,
      })),
    },
    durationMetric(counters),
    total('x_server_received_bytes_total', 'Bytes that were read from connections.', 'bytesIn'),
    total('x_server_sent_bytes_total', 'Bytes that were written to connections.', 'bytesOut'),
    total('x_server_parse_errors_total', 'Requests that were refused as malformed.', 'parseErrors'),
    total('x_server_timeouts_total', 'Connections that were ended by a timeout.', 'timeouts'),
  ]
}

/** The counters have each request in one bucket; here a bucket has all that lasted no longer than its bound. */
function durationMetric(counters: Measured['counters']): MetricFamily {
  let count = 0
  const buckets = [...durationBounds, Infinity].map((bound): Sample => {
    count += counters[durationCounter(bound)] ?? 0
    return { suffix: '_bucket', labels: { le: boundText(bound) }, value: count }
  })
  return {
    name: 'x_server_request_duration_seconds',
    type: 'histogram',
    help: "Time from the read of a head's last byte until the kernel has taken the response's last byte.",
    samples: [
      ...buckets,
      { suffix: '_sum', value: counters.durationSum ?? 0 },
      { suffix: '_count', value: count },
    ],
  }
}

function connectionMetrics({ counters, connections }: Measured): MetricFamily[] {
  const total = totals(counters)
  return [
    total('x_server_connections_accepted_total', 'Connections that were accepted.', 'accepted'),
    total('x_server_connections_closed_total', 'Connections that were closed.', 'closed'),
    total(
      'x_server_connections_refused_total',
      'Connections that were too many of their address, by limits.connectionsPerAddress.',
      'refused',
    ),
    {
      name: 'x_server_accept_pauses_total',
      type: 'counter',
      help: 'Times that accepting paused: at limits.connections, or for want of descriptors.',
      samples: [
        { labels: { reason: 'limit' }, value: counters.acceptPausesLimit ?? 0 },
        { labels: { reason: 'descriptors' }, value: counters.acceptPausesDescriptors ?? 0 },
      ],
    },
    {
      name: 'x_server_connections',
      type: 'gauge',
      help: 'Open connections, by what they are doing.',
      samples: phases.map((phase) => ({ labels: { phase }, value: connections[phase] })),
    },
  ]
}

function totals(
  counters: Measured['counters'],
): (name: string, help: string, counter: string) => MetricFamily {
  return (name, help, counter) => ({
    name,
    type: 'counter',
    help,
    samples: [{ value: counters[counter] ?? 0 }],
  })
}

/** A sample a mount point: its generations are not told apart, so that a series lives through replacements. */
function mountMetrics(mounts: readonly MountRow[]): MetricFamily[] {
  const points = byPoint(mounts)
  const family = (
    name: string,
    type: MetricFamily['type'],
    help: string,
    value: (rows: readonly MountRow[]) => number,
  ): MetricFamily => ({ name, type, help, samples: points.map((rows) => mountSample(rows, value(rows))) })
  const draining = ({ state }: MountRow): boolean => state === 'draining' || state === 'drained'
  return [
    family('x_server_mount_requests_total', 'counter', 'Requests that a mount was given.', (rows) =>
      Math.max(...rows.map(({ served }) => served)),
    ),
    family('x_server_mount_references', 'gauge', 'Requests that a mount has in hand.', (rows) =>
      rows.reduce((sum, { references }) => sum + references, 0),
    ),
    family('x_server_mount_generation', 'gauge', 'Newest generation of a mount.', (rows) =>
      Math.max(...rows.map(({ generation }) => generation)),
    ),
    family(
      'x_server_mount_draining_generations',
      'gauge',
      'Generations of a mount that drain.',
      (rows) => rows.filter(draining).length,
    ),
  ]
}

function byPoint(mounts: readonly MountRow[]): MountRow[][] {
  const points = new Map<string, MountRow[]>()
  for (const mount of mounts) {
    const key = mountName(mount.prefix, mount.host)
    points.set(key, [...(points.get(key) ?? []), mount])
  }
  return [...points.values()]
}

function mountSample(rows: readonly MountRow[], value: number): Sample {
  const [{ prefix, host = '' }] = rows as readonly [MountRow]
  return { labels: { prefix, host }, value }
}

function stateMetrics({ version, health, counters }: Measured): MetricFamily[] {
  return [
    {
      name: 'x_server_info',
      type: 'gauge',
      help: 'The version that runs.',
      samples: [{ labels: { version }, value: 1 }],
    },
    {
      name: 'x_server_ready',
      type: 'gauge',
      help: 'Whether the server takes requests: 1 or 0.',
      samples: [{ value: health.ready ? 1 : 0 }],
    },
    {
      name: 'x_server_workers',
      type: 'gauge',
      help: 'Worker threads that serve.',
      samples: [{ value: health.workers }],
    },
    totals(counters)(
      'x_server_worker_recycles_total',
      'Times that a new thread took the place of a worker that had loaded too much.',
      'workerRecycles',
    ),
  ]
}
