import { cpus, release } from 'node:os'
import { figureLine } from './figures.js'
import { bases } from './servers.js'
import { ratio, table } from './table.js'

/** @typedef {import('./results.js').Result} Result */

/** @param {import('./measure.js').Round} round */
export const roundLine = (round) => {
  const cost =
    round.kind === 'load'
      ? `${round.cpuPerRequest.toFixed(2)} µs/request`
      : `${round.bytesPerConnection.toFixed(0)} B/connection`
  const errors = round.errors > 0 ? `, ${round.errors} errors` : ''
  return `round ${round.round}  ${round.scenario.padEnd(22)}  ${round.server.padEnd(14)}  ${cost}${errors}\n`
}

/** The columns of one kind of scenario, beside the server, the ratios and the errors. */
const columns = {
  load: {
    cost: 'µs/request',
    rest: ['req/s', 'CPUs', 'p50 ms', 'p99 ms', 'B/answer'],
    digits: 2,
  },
  idle: { cost: 'B/connection', rest: ['connections'], digits: 0 },
}

/** @param {Result} result */
const rest = (result) =>
  result.kind === 'idle'
    ? [result.connections.toFixed(0)]
    : [
        result.perSecond.toFixed(0),
        result.cores.toFixed(2),
        result.p50.toFixed(2),
        result.p99.toFixed(2),
        result.bytesPerAnswer.toFixed(0),
      ]

/** The table of one scenario. @param {Result[]} results @returns {string} */
const scenarioTable = (results) => {
  const compared = bases.flatMap((base) => results.find(({ server }) => server === base) ?? [])
  const { cost, rest: titles, digits } = columns[results[0]?.kind ?? 'load']
  const head = ['server', cost, ...compared.map(({ server }) => `of ${server}`), ...titles, 'errors']
  const rows = results.map((result) => [
    result.server,
    result.cost.toFixed(digits),
    ...compared.map((base) => ratio(result.cost, base.cost)),
    ...rest(result),
    String(result.errors),
  ])
  return table(head, rows)
}

/** What it was measured on. @param {boolean} pinned */
export const describeMachine = (pinned) => ({
  node: process.version,
  kernel: release(),
  cpu: cpus()[0]?.model ?? '',
  cpus: cpus().length,
  pinned,
})

/**
 * All that is printed at the end.
 * @param {object} report
 * @param {ReturnType<typeof describeMachine>} report.machine
 * @param {import('./measure.js').Plan} report.plan
 * @param {Result[]} report.results
 * @param {ReturnType<typeof import('./figures.js').judge>} report.figures
 * @param {string[]} report.remarks
 * @returns {string}
 */
export const reportText = ({ machine, plan, results, figures, remarks }) => {
  const { rounds, seconds } = plan
  const parts = [
    `medians of ${rounds} rounds, ${seconds} s of load in each; user and system time of all the server's processes\n` +
      `Node ${machine.node}, Linux ${machine.kernel}, ${machine.cpus} x ${machine.cpu}${machine.pinned ? ', pinned' : ''}`,
    ...plan.scenarios.map(
      ({ name, title }) =>
        `${name}: ${title}\n\n${scenarioTable(results.filter(({ scenario }) => scenario === name))}`,
    ),
  ]
  if (figures.length > 0) parts.push(`figures\n\n${figures.map(figureLine).join('\n')}`)
  if (remarks.length > 0) parts.push(remarks.join('\n'))
  return `\n${parts.join('\n\n')}\n`
}
