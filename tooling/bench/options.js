import { parseArgs } from 'node:util'
import { quickScenarios, scenarios } from './scenarios.js'
import { servers } from './servers.js'

/** @param {{ name: string }[]} items */
const names = (items) => items.map(({ name }) => name).join(', ')

const nameWidth = Math.max(...scenarios.map(({ name }) => name.length))

export const help = `Usage: pnpm bench [options]

Gives servers the same load by turns, and compares the CPU time that a request costs each of them: x-server, a
server in C that does the least that one can do, nginx and servers in Node. Every answer is asked for once and
compared before anything is measured. All traffic stays on 127.0.0.1. Where there are two CPUs or more, the client
has the last one to itself, and so has a server of one thread the first one.

  --scenario LIST    what to measure, separated by commas, or all; default ${quickScenarios.join(',')}
  --only LIST        servers to run, by name, separated by commas, or all; the default is
                     ${names(servers.filter(({ quick }) => quick))}
  --rounds N         default 5; the tables show medians over the rounds
  --seconds N        of load in each turn, default 5
  --no-pin           leave the choice of CPUs to the kernel
  --json FILE        write every turn, the medians and the figures to FILE
  --help             print this

Servers: ${names(servers)}.
uws is uWebSockets.js, which no registry has: X_UWS=FOLDER says where its uws.js is. Without, it is left out.

Scenarios:
${scenarios.map(({ name, title }) => `  ${name.padEnd(nameWidth)}  ${title}`).join('\n')}

An idle connection costs by how much the PSS of the server's processes rises with the second half of all, which are
as many as RLIMIT_NOFILE allows. The kernel's memory for sockets is not in it, nor what a server sets aside ahead.

Exit status: 0, 1 when a server did not start, gave a wrong answer or any request failed, 2 for a wrong command
line. A figure that is missed is no error.
`

/** @param {string} name @param {string} text */
const whole = (name, text) => {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1)
    throw new Error(`--${name} takes a whole number from 1; got ${text}`)
  return number
}

/**
 * Those that a list names.
 * @template {{ name: string }} Item
 * @param {string} option
 * @param {Item[]} items
 * @param {string} list
 */
const choose = (option, items, list) => {
  if (list === 'all') return items
  const wanted = list.split(',').map((name) => name.trim())
  const unknown = wanted.filter((name) => !items.some((item) => item.name === name))
  if (unknown.length > 0)
    throw new Error(`--${option}: there is no ${unknown.join(', ')}; use all, or of ${names(items)}`)
  return items.filter(({ name }) => wanted.includes(name))
}

/** What the command line says, or undefined when it asks for help. Throws when it is wrong. */
export const commandLine = () => {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      scenario: { type: 'string', default: quickScenarios.join(',') },
      only: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '5' },
      pin: { type: 'boolean', default: true },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  return {
    servers:
      values.only === undefined ? servers.filter(({ quick }) => quick) : choose('only', servers, values.only),
    scenarios: choose('scenario', scenarios, values.scenario),
    rounds: whole('rounds', values.rounds),
    seconds: whole('seconds', values.seconds),
    pin: values.pin,
    json: values.json,
  }
}
