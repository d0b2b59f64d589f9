import type { Target } from './command-line.ts'
import type { ServerStatus } from '../control/control-protocol.ts'
import { groupCounters, isOfDurations } from '../status/counters.ts'
import { readableDuration, renderTable } from './terminal-table.ts'
import { targetClient } from './target-client.ts'

/** Prints the state of the server and its counters. */
export async function runStatus(target: Target): Promise<void> {
  const status = await targetClient(target).status()
  process.stdout.write(target.json ? `${JSON.stringify(status, null, 2)}\n` : describe(status))
}

function describe(status: ServerStatus): string {
  const { totals, workers } = groupCounters(status.counters)
  const facts = [
    ['server', `x-server ${status.version}, process id ${status.pid}, ${status.state}`],
    ['listens at', `${status.host} port ${status.port}`],
    ['runs for', readableDuration(Date.now() - status.started)],
    ['configuration', status.config ?? 'built-in'],
    ...Object.entries(totals)
      .filter(([name]) => !isOfDurations(name))
      .map(([name, value]) => [counterTitle(name), String(value)]),
  ]
  const width = Math.max(...facts.map(([name = '']) => name.length))
  const list = facts.map(([name = '', value = '']) => `${name.padEnd(width)}  ${value}\n`).join('')
  return workers.length === 0 ? list : `${list}\n${workerTable(workers)}`
}

/** Of a worker: what tells how the load is spread. `--json` has all. */
const shares = [
  'requests',
  'responses2xx',
  'responses3xx',
  'responses4xx',
  'responses5xx',
  'bytesIn',
  'bytesOut',
]

function workerTable(workers: ReturnType<typeof groupCounters>['workers']): string {
  const names = shares.filter((name) => workers.some(({ counters }) => name in counters))
  const columns = [{ heading: 'WORKER', isNumber: true }, ...names.map(numberColumn)]
  const rows = workers.map(({ worker, counters }) => [
    String(worker),
    ...names.map((name) => String(counters[name] ?? 0)),
  ])
  return renderTable(columns, rows)
}

function numberColumn(name: string): { heading: string; isNumber: boolean } {
  return { heading: counterTitle(name).replace('responses ', '').toUpperCase(), isNumber: true }
}

/** `responses2xx` as `responses 2xx`, `bytesIn` as `bytes in`. */
function counterTitle(name: string): string {
  return name.replace(/([a-z])([A-Z\d])/gu, '$1 $2').toLowerCase()
}
