#!/usr/bin/env node
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measureTreeCpu } from './cpu.js'
import { start } from './instance.js'
import { bases, servers } from './servers.js'
import { median, ratio, table } from './table.js'
import { wrk } from './wrk.js'

const help = `Usage: pnpm bench [options]

Starts x-server, node:http and nginx with the same 13-byte answer, puts the same load on one after the other
for several rounds, and compares the CPU time that a request costs each of them. All traffic stays on
127.0.0.1. Where there are two CPUs or more, wrk has the last one to itself, and so has a server of one
thread the first one.

  --only LIST        servers to run, by name, separated by commas: ${servers.map(({ name }) => name).join(', ')}
  --rounds N         default 5; the table shows medians over the rounds
  --seconds N        of load in each round, default 5
  --connections N    keep-alive connections, default 64
  --no-pin           leave the choice of CPUs to the kernel
  --json FILE        write every round and the medians to FILE
  --help             print this

Exit status: 0, 1 when a server did not start or any request failed, 2 for a wrong command line.
`

/** @param {string} message @param {number} status @returns {never} */
const fail = (message, status) => {
  process.stderr.write(`${message}\n`)
  process.exit(status)
}

/** @param {string} name @param {string} text */
const whole = (name, text) => {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} takes a whole number from 1; got ${text}`)
  return number
}

const commandLine = () => {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '5' },
      connections: { type: 'string', default: '64' },
      pin: { type: 'boolean', default: true },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    process.exit(0)
  }
  const names = values.only?.split(',').map((name) => name.trim())
  const unknown = names?.filter((name) => !servers.some((server) => server.name === name)) ?? []
  if (unknown.length > 0) throw new Error(`--only: there is no server ${unknown.join(', ')}`)
  return {
    chosen: servers.filter(({ name }) => names?.includes(name) ?? true),
    rounds: whole('rounds', values.rounds),
    seconds: whole('seconds', values.seconds),
    connections: whole('connections', values.connections),
    pin: values.pin,
    json: values.json,
  }
}

const options = (() => {
  try {
    return commandLine()
  } catch (error) {
    return fail(`${/** @type {Error} */ (error).message}\n\n${help}`, 2)
  }
})()

const needed = new Map([
  ['wrk', 'wrk'],
  ...(options.chosen.some(({ name }) => name.startsWith('nginx'))
    ? /** @type {const} */ ([['nginx', 'nginx-light']])
    : []),
])
const missing = [...needed].filter(([tool]) => spawnSync(tool, ['-v']).error !== undefined)
if (missing.length > 0) {
  const tools = missing.map(([tool]) => tool).join(' and ')
  fail(
    `bench: ${tools} not found; install with: apt-get install ${missing.map(([, name]) => name).join(' ')}`,
    1,
  )
}

const count = availableParallelism()
const last = count - 1
const pinned = options.pin && count > 1 && spawnSync('taskset', ['-V']).error === undefined

/** @typedef {import('./wrk.js').Measured & { server: string, round: number, cpuSeconds: number, cpuPerRequest: number }} Round  CPU per request in microseconds */

/** @type {Round[]} */
const rounds = []
/** @type {import('./instance.js').Instance[]} */
const running = []
const folder = mkdtempSync(join(tmpdir(), 'bench-'))

/** @param {import('./instance.js').Instance} instance @param {number} seconds */
const load = ({ url }, seconds) =>
  wrk({ url, connections: options.connections, seconds, ...(pinned ? { cpu: last } : {}) })

const drive = async () => {
  for (const server of options.chosen) {
    const single = server.threads === 1
    running.push(await start(server, folder, pinned && single ? [0] : undefined))
  }
  for (const instance of running) await load(instance, 1)
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const instance of running) {
      const { result, cpuSeconds } = await measureTreeCpu(instance.pid, () => load(instance, options.seconds))
      const cpuPerRequest = (cpuSeconds / result.requests) * 1e6
      rounds.push({ server: instance.server.name, round, cpuSeconds, cpuPerRequest, ...result })
      process.stderr.write(
        `round ${round}  ${instance.server.name.padEnd(10)} ${cpuPerRequest.toFixed(2)} µs/request\n`,
      )
    }
  }
}

try {
  await drive()
} catch (error) {
  process.stderr.write(`bench: ${/** @type {Error} */ (error).message}\n`)
  process.exitCode = 1
} finally {
  for (const instance of running) await instance.stop()
  rmSync(folder, { recursive: true, force: true })
}

/** The median over all rounds of a server. @param {string} name @param {(round: Round) => number} pick */
const middle = (name, pick) => median(rounds.filter(({ server }) => server === name).map(pick))

const results = running.map(({ server: { name }, head }) => ({
  name,
  head,
  cpuPerRequest: middle(name, (round) => round.cpuPerRequest),
  perSecond: middle(name, (round) => round.perSecond),
  cores: middle(name, (round) => (round.cpuSeconds * round.perSecond) / round.requests),
  p50: middle(name, (round) => round.p50),
  p99: middle(name, (round) => round.p99),
  bytesPerAnswer: middle(name, (round) => round.bytes / round.requests),
  errors: rounds.filter(({ server }) => server === name).reduce((sum, { errors }) => sum + errors, 0),
}))

if (process.exitCode === undefined) {
  const compared = bases.filter((base) => results.some(({ name }) => name === base))
  const head = [
    'server',
    'µs/request',
    ...compared.map((base) => `of ${base}`),
    'req/s',
    'CPUs',
    'p50 ms',
    'p99 ms',
    'B/answer',
    'errors',
  ]
  const rows = results.map((result) => [
    result.name,
    result.cpuPerRequest.toFixed(2),
    ...compared.map((base) =>
      ratio(result.cpuPerRequest, results.find(({ name }) => name === base)?.cpuPerRequest),
    ),
    result.perSecond.toFixed(0),
    result.cores.toFixed(2),
    result.p50.toFixed(2),
    result.p99.toFixed(2),
    result.bytesPerAnswer.toFixed(0),
    String(result.errors),
  ])
  const { connections, seconds } = options
  const machine = {
    node: process.version,
    kernel: release(),
    cpu: cpus()[0]?.model ?? '',
    cpus: count,
    pinned,
  }
  process.stdout.write(
    `\nmedians of ${options.rounds} rounds, wrk -t1 -c${connections} -d${seconds}s; user and system time of the server's processes\n`,
  )
  process.stdout.write(
    `Node ${machine.node}, Linux ${machine.kernel}, ${count} x ${machine.cpu}${pinned ? ', pinned' : ''}\n\n`,
  )
  process.stdout.write(`${table(head, rows)}\n`)
  if (options.json !== undefined) {
    const content = { machine, connections, seconds, rounds, results }
    writeFileSync(options.json, `${JSON.stringify(content, null, 2)}\n`)
  }
  if (results.some(({ errors }) => errors > 0)) fail('bench: some requests failed', 1)
}
