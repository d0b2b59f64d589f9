import { median } from './table.js'

/** @typedef {{ scenario: string, server: string, errors: number }} Subject */

/**
 * Medians over the rounds of a load; the errors are the sum. `cores` is how many CPUs the server had.
 * @typedef {Subject & { kind: 'load', cost: number, perSecond: number, cores: number, p50: number, p99: number, bytesPerAnswer: number }} LoadResult  `cost` in microseconds of CPU time a request
 */

/** @typedef {Subject & { kind: 'idle', cost: number, connections: number }} IdleResult  `cost` in bytes a connection */

/** @typedef {LoadResult | IdleResult} Result */

/**
 * @template Item
 * @param {Item[]} items @param {(item: Item) => number} pick
 */
const middle = (items, pick) => median(items.map(pick))

/** @param {import('./measure.js').LoadRound[]} rounds */
const ofLoad = (rounds) => ({
  kind: /** @type {const} */ ('load'),
  cost: middle(rounds, ({ cpuPerRequest }) => cpuPerRequest),
  perSecond: middle(rounds, ({ perSecond }) => perSecond),
  cores: middle(rounds, ({ cpuSeconds, perSecond, requests }) => (cpuSeconds * perSecond) / requests),
  p50: middle(rounds, ({ p50 }) => p50),
  p99: middle(rounds, ({ p99 }) => p99),
  bytesPerAnswer: middle(rounds, ({ bytes, requests }) => bytes / requests),
})

/** @param {import('./measure.js').IdleRound[]} rounds */
const ofIdle = (rounds) => ({
  kind: /** @type {const} */ ('idle'),
  cost: middle(rounds, ({ bytesPerConnection }) => bytesPerConnection),
  connections: middle(rounds, ({ connections }) => connections),
})

/**
 * What the rounds say about a server in a scenario.
 * @param {import('./measure.js').Round[]} all
 * @param {string} scenario
 * @param {string} server
 * @returns {Result}
 */
const resultOf = (all, scenario, server) => {
  const rounds = all.filter((round) => round.scenario === scenario && round.server === server)
  const errors = rounds.reduce((sum, round) => sum + round.errors, 0)
  const idle = rounds.filter((round) => round.kind === 'idle')
  const medians = idle.length > 0 ? ofIdle(idle) : ofLoad(rounds.filter((round) => round.kind === 'load'))
  return { scenario, server, errors, ...medians }
}

/**
 * A result for each server in each scenario, in the order of the rounds.
 * @param {import('./measure.js').Round[]} rounds
 */
export const summarise = (rounds) => {
  const first = rounds.filter(({ round }) => round === 1)
  return first.map(({ scenario, server }) => resultOf(rounds, scenario, server))
}
