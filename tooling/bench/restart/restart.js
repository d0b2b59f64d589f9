#!/usr/bin/env node
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, table } from '../table.js'
import { compileClients } from './clients.js'
import { measure } from './measure.js'
import { servers } from './servers.js'
import { xServer } from './x-server.js'

const help = `Usage: pnpm bench:restart [options]

Restarts each server again and again under the same clients, and tells what these notice: 180 keep-alive
connections with a request each 10 ms, 10 with heads in three pieces, 10 with posts of 4 KiB in four pieces,
and 10 clients with a new connection for each request. All traffic stays on 127.0.0.1. Where there are two CPUs or
more, the clients have the last one to themselves, and the servers the others.

${servers.map(({ name, how }) => `  ${name.padEnd(13)} ${how}`).join('\n')}

  --only LIST        servers to run, by name, separated by commas
  --pm2 PATH         the program of PM2; else X_PM2 in the environment. It is left out without.
  --restarts N       default 10, with --idle 3
  --seconds N        over which they are spread, default 50, with --idle 15
  --workers N        of each server, default 2
  --with LIST        more clients, as slow=20,pipe=10,idle=1000: with answers that take 300 ms, with four
                     requests at once, with a request a second
  --idle N           x-server alone, with N connections that rest and 100 with a request each 10 ms
  --json FILE        write the results, and each restart, to FILE
  --help             print this

"unserved" are failures of a connection that has had no answer: refused, reset or ended. "longest" is the
longest request that was answered, "silence" the longest time in which none was, each around a restart.

Exit status: 0, 1 when a server did not start or restart or x-server lost anything, 2 for a wrong command line.
`

/** @param {string} message @param {number} status @returns {never} */
const fail = (message, status) => {
  process.stderr.write(`${message}\n`)
  process.exit(status)
}

/** @param {string} name @param {string | undefined} text @param {number} otherwise */
const whole = (name, text, otherwise) => {
  const number = text === undefined ? otherwise : Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} takes a whole number from 1; got ${text}`)
  return number
}

const kindNames = ['slow', 'pipe', 'idle']

/** @param {string} list @returns {Record<string, number>} */
const moreClients = (list) =>
  Object.fromEntries(
    list.split(',').map((pair) => {
      const [kind = '', count] = pair.split('=')
      if (!kindNames.includes(kind) || count === undefined)
        throw new Error(`--with takes ${kindNames.join(', ')}, each with =N; got ${pair}`)
      return [kind, whole(`with ${kind}=`, count, 0)]
    }),
  )

/** @param {string | undefined} list */
const chosenServers = (list) => {
  const names = list?.split(',').map((name) => name.trim())
  const unknown = names?.filter((name) => !servers.some((server) => server.name === name)) ?? []
  if (unknown.length > 0) throw new Error(`--only: there is no server ${unknown.join(', ')}`)
  return servers.filter(({ name }) => names?.includes(name) ?? true)
}

const commandLine = () => {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      pm2: { type: 'string', default: process.env.X_PM2 },
      restarts: { type: 'string' },
      seconds: { type: 'string' },
      workers: { type: 'string' },
      with: { type: 'string' },
      idle: { type: 'string' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(help)
    process.exit(0)
  }
  const idle = values.idle === undefined ? undefined : whole('idle', values.idle, 0)
  if (idle !== undefined && (values.only ?? values.with) !== undefined)
    throw new Error('--idle has its own server and clients; leave out --only and --with')
  return {
    chosen: idle === undefined ? chosenServers(values.only) : [xServer],
    kinds:
      idle === undefined
        ? {
            think: 180,
            split: 10,
            post: 10,
            new: 10,
            ...(values.with === undefined ? {} : moreClients(values.with)),
          }
        : { quiet: idle, think: 100 },
    restarts: whole('restarts', values.restarts, idle === undefined ? 10 : 3),
    seconds: whole('seconds', values.seconds, idle === undefined ? 50 : 15),
    workers: whole('workers', values.workers, 2),
    pm2: values.pm2,
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

const present = options.chosen.filter((server) => {
  const missing = server.missing(options)
  if (missing !== undefined) process.stderr.write(`${server.name} is left out: ${missing}\n`)
  return missing === undefined
})

/** @type {import('./measure.js').Measured[]} */
const results = []
const folder = mkdtempSync(join(tmpdir(), 'bench-restart-'))
const { kinds, restarts, seconds, workers, pm2 } = options
try {
  const clients = compileClients(folder)
  for (const server of present) {
    process.stderr.write(`${server.name}: ${restarts} restarts over ${seconds} s\n`)
    try {
      results.push(await measure(server, { folder, clients, kinds, restarts, seconds, workers, pm2 }))
    } catch (error) {
      process.stderr.write(`${server.name}: ${/** @type {Error} */ (error).message}\n`)
      process.exitCode = 1
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}

const head = [
  'server',
  'requests',
  'failed',
  'unserved',
  'survived',
  'moved',
  'longest ms',
  'silence ms',
  'restart ms',
]
const rows = results.map((result) => [
  result.name,
  String(result.requests),
  String(result.failed),
  String(result.unserved),
  `${result.survived}/${result.connections}`,
  String(result.moved),
  result.longest.toFixed(1),
  result.gap.toFixed(1),
  median(result.restarts.map(({ took }) => took)).toFixed(0),
])
const load = Object.entries(kinds).map(([kind, count]) => `${kind}=${count}`)
const machine = {
  node: process.version,
  kernel: release(),
  cpu: cpus()[0]?.model ?? '',
  cpus: availableParallelism(),
}
process.stdout.write(
  `\n${restarts} restarts over ${seconds} s, ${workers} workers; clients: ${load.join(' ')}; the median of restart ms\n`,
)
process.stdout.write(
  `Node ${machine.node}, Linux ${machine.kernel}, ${machine.cpus} x ${machine.cpu}\n\n${table(head, rows)}\n`,
)
const own = results.find(({ name }) => name === xServer.name)
if (own !== undefined) {
  /** @param {(restart: import('./measure.js').Restart) => number} pick */
  const each = (pick) => own.restarts.map((restart) => pick(restart).toFixed(1)).join(', ')
  process.stdout.write(
    `\n${own.name}, each restart: nobody served for ${each(({ stall = NaN }) => stall)} ms\n`,
  )
  process.stdout.write(`  longest request ${each(({ longest }) => longest)} ms\n`)
}
if (options.json !== undefined)
  writeFileSync(
    options.json,
    `${JSON.stringify({ machine, kinds, restarts, seconds, workers, results }, null, 2)}\n`,
  )
if (own !== undefined && (own.failed > 0 || own.survived < own.connections))
  fail('bench:restart: x-server has lost requests or connections', 1)
