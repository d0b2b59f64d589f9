#!/usr/bin/env node
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { judge } from './figures.js'
import { boundedConnections } from './idle-memory.js'
import { measure } from './measure.js'
import { commandLine, help } from './options.js'
import { describeMachine, reportText, roundLine } from './report.js'
import { summarise } from './results.js'

/** @param {string} message @param {number} status @returns {never} */
const fail = (message, status) => {
  process.stderr.write(`${message}\n`)
  process.exit(status)
}

const readCommandLine = () => {
  try {
    return commandLine()
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n\n${help}`, 2)
  }
}

/** Ends the run when a program is not there. @param {import('./servers.js').Server[]} servers */
const requireTools = (servers) => {
  const tools = Object.assign({ wrk: 'wrk' }, ...servers.map(({ tools }) => tools))
  const missing = Object.keys(tools).filter((tool) => spawnSync(tool, ['-v']).error !== undefined)
  if (missing.length === 0) return
  const packages = missing.map((tool) => tools[tool]).join(' ')
  fail(`bench: ${missing.join(' and ')} not found; install with: apt-get install ${packages}`, 1)
}

/** Where servers of one thread and the client run: nowhere in particular on a machine of one CPU. @param {boolean} wanted */
const placement = (wanted) => {
  const last = availableParallelism() - 1
  return wanted && last > 0 && spawnSync('taskset', ['-V']).error === undefined
    ? { cpus: [0], clientCpu: last }
    : {}
}

/** The scenario as far as the machine lets it be, with a remark. @param {import('./scenarios.js').Scenario} scenario */
const bounded = (scenario) => {
  if (scenario.kind === 'load') return { scenario, remarks: [] }
  const { connections, limit } = boundedConnections(scenario.connections)
  const remark = `${scenario.name}: ${connections} connections of the ${scenario.connections} wanted; RLIMIT_NOFILE is ${limit}. PSS, without the kernel's memory for sockets.`
  return { scenario: { ...scenario, connections }, remarks: [remark] }
}

/** @param {NonNullable<ReturnType<typeof commandLine>>} options @param {string} folder */
const run = async ({ servers, scenarios, rounds, seconds, pin, json }, folder) => {
  const left = servers.flatMap(({ name, missing }) => {
    const reason = missing?.()
    return reason === undefined ? [] : [`${name} is left out: ${reason}`]
  })
  const present = servers.filter(({ missing }) => missing?.() === undefined)
  if (present.length === 0) throw new Error(left.join('\n'))
  requireTools(present)
  const possible = scenarios.map(bounded)
  const plan = {
    servers: present,
    scenarios: possible.map(({ scenario }) => scenario),
    rounds,
    seconds,
    folder,
    ...placement(pin),
  }
  const turns = await measure(plan, (round) => process.stderr.write(roundLine(round)))
  const results = summarise(turns)
  const figures = judge(results)
  const machine = describeMachine('clientCpu' in plan)
  const unfit = present.flatMap(({ name, unfit }) =>
    unfit !== undefined && scenarios.some((scenario) => scenario.name === unfit.scenario)
      ? [`${name} is not in ${unfit.scenario}: ${unfit.reason}`]
      : [],
  )
  const remarks = [...possible.flatMap(({ remarks }) => remarks), ...left, ...unfit]
  process.stdout.write(reportText({ machine, plan, results, figures, remarks }))
  if (json !== undefined) {
    const content = { machine, seconds, scenarios: plan.scenarios, rounds: turns, results, figures, remarks }
    writeFileSync(json, `${JSON.stringify(content, null, 2)}\n`)
  }
  if (results.some(({ errors }) => errors > 0)) throw new Error('some requests failed')
}

const options = readCommandLine()
if (options === undefined) {
  process.stdout.write(help)
} else {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'))
  try {
    await run(options, folder)
  } catch (error) {
    process.stderr.write(`bench: ${/** @type {Error} */ (error).message}\n`)
    process.exitCode = 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
