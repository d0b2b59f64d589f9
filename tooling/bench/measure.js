import { bodySize, verify } from './answer.js'
import { measureTreeCpu } from './cpu.js'
import { measureIdleMemory } from './idle-memory.js'
import { start } from './instance.js'
import { wrk } from './wrk.js'

/** @typedef {{ scenario: string, server: string, round: number, errors: number }} Turn */

/**
 * CPU time in seconds for the whole turn, and in microseconds for a request.
 * @typedef {Turn & import('./wrk.js').Measured & { kind: 'load', cpuSeconds: number, cpuPerRequest: number }} LoadRound
 */

/** @typedef {Turn & { kind: 'idle', connections: number, bytesPerConnection: number }} IdleRound */

/** @typedef {LoadRound | IdleRound} Round */

/**
 * @typedef {object} Plan
 * @property {import('./servers.js').Server[]} servers
 * @property {import('./scenarios.js').Scenario[]} scenarios
 * @property {number} rounds
 * @property {number} seconds     of load in a turn
 * @property {string} folder      for the files of the servers
 * @property {number[]} [cpus]    for a server of one thread
 * @property {number} [clientCpu] for the load
 */

/** @typedef {import('./instance.js').Instance} Instance */

/** @param {Plan} plan @param {import('./scenarios.js').LoadScenario} scenario @param {Instance} instance @param {number} seconds */
const load = ({ clientCpu }, { path, connections, headers }, { url }, seconds) =>
  wrk({ url: url + path, connections, headers, seconds, cpu: clientCpu })

/** One turn of a server under load. @param {Plan} plan @param {import('./scenarios.js').LoadScenario} scenario @param {Instance} instance */
const loadTurn = async (plan, scenario, instance) => {
  const { result, cpuSeconds } = await measureTreeCpu(instance.pid, () =>
    load(plan, scenario, instance, plan.seconds),
  )
  if (result.requests === 0) throw new Error(`${instance.server.name} answered nothing: ${scenario.name}`)
  // wrk does not compare bodies, so that answers that are cut short would pass for fast ones.
  if (result.bytes / result.requests < bodySize(scenario.path))
    throw new Error(`${instance.server.name} sent less than the bodies: ${scenario.name}`)
  const cpuPerRequest = (cpuSeconds / result.requests) * 1e6
  return { kind: /** @type {const} */ ('load'), cpuSeconds, cpuPerRequest, ...result }
}

/** One turn of a server that is started for it. @param {Plan} plan @param {import('./scenarios.js').IdleScenario} scenario @param {import('./servers.js').Server} server */
const idleTurn = async (plan, { connections }, server) => {
  const instance = await start(server, { parent: plan.folder, connections, cpus: plan.cpus })
  try {
    await verify(instance, '/')
    const measured = await measureIdleMemory(instance, { connections, cpu: plan.clientCpu })
    return { kind: /** @type {const} */ ('idle'), ...measured }
  } finally {
    await instance.stop()
  }
}

/** All the servers for the scenarios with a load, each verified and warmed up for each. @param {Plan} plan @param {Instance[]} running  takes each as it starts */
const prepare = async (plan, running) => {
  const loads = plan.scenarios.filter((scenario) => scenario.kind === 'load')
  if (loads.length === 0) return
  const connections = Math.max(...loads.map((scenario) => scenario.connections))
  for (const server of plan.servers)
    running.push(await start(server, { parent: plan.folder, connections, cpus: plan.cpus }))
  for (const scenario of loads) {
    for (const instance of running) {
      await verify(instance, scenario.path, scenario.headers)
      await load(plan, scenario, instance, 1)
    }
  }
}

/**
 * A turn of one server in one scenario.
 * @param {Plan} plan
 * @param {Instance[]} running
 * @param {import('./scenarios.js').Scenario} scenario
 * @param {import('./servers.js').Server} server
 */
const takeTurn = async (plan, running, scenario, server) => {
  if (scenario.kind === 'idle') return idleTurn(plan, scenario, server)
  const instance = running.find((candidate) => candidate.server === server)
  if (instance === undefined) throw new Error(`${server.name} is not running`)
  return loadTurn(plan, scenario, instance)
}

/**
 * Drives the servers by turns: in every round each scenario, in each scenario every server, so that what else the
 * machine does in these minutes meets all of them.
 * @param {Plan} plan
 * @param {(round: Round) => void} note  is told of each turn
 * @returns {Promise<Round[]>}
 */
export const measure = async (plan, note) => {
  const turns = Array.from({ length: plan.rounds }, (_, index) => index + 1).flatMap((round) =>
    plan.scenarios.flatMap((scenario) =>
      plan.servers
        .filter(({ unfit }) => unfit?.scenario !== scenario.name)
        .map((server) => ({ round, scenario, server })),
    ),
  )
  /** @type {Instance[]} */
  const running = []
  /** @type {Round[]} */
  const rounds = []
  try {
    await prepare(plan, running)
    for (const { round, scenario, server } of turns) {
      const turn = await takeTurn(plan, running, scenario, server)
      const measured = { scenario: scenario.name, server: server.name, round, ...turn }
      rounds.push(measured)
      note(measured)
    }
  } finally {
    for (const instance of running) await instance.stop()
  }
  return rounds
}
