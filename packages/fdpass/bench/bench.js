// pnpm run bench [--rounds N] [--scale X] [--json]: one way, to another process that receives and closes: what a
// descriptor costs with 1, 16 and 253 of them in a message. In a round every subject has its turn, as processes of its
// own, so that what disturbs the machine disturbs all of them; each figure is the median over rounds.
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compilePeer, median, table } from '@x/bench'
import { headersPrefix } from '@x/native-build'

const help = `usage: pnpm run bench [--rounds N] [--scale X] [--json]

  --rounds N  turns of each subject: 7, unless told
  --scale X   how many messages, in times of the usual: 1
  --json      figures of every round`

const { values: given } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    scale: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const [rounds, scale] = [Number(given.rounds), Number(given.scale)]
if (given.help || !(rounds > 0) || !(scale > 0)) {
  process.stdout.write(`${help}\n`)
  process.exit(given.help ? 0 : 2)
}

const here = fileURLToPath(new URL('.', import.meta.url))
const program = join(here, 'build/rights')
const subject = join(here, 'subject.js')
const require = createRequire(import.meta.url)

const run = (command, args) => JSON.parse(execFileSync(command, args, { encoding: 'utf8', timeout: 120_000 }))
/** The number of messages that takes about half a second. */
const messagesOf = (k) => Math.ceil({ 1: 100_000, 16: 40_000, 64: 12_000, 253: 5000 }[k] * scale)

const inC = (type) => (k) => run(program, [type, String(k), String(messagesOf(k))])
const inNode =
  (kind, slower = 1) =>
  (k) => {
    const messages = Math.ceil(messagesOf(k) / slower)
    const result = run(process.execPath, [
      subject,
      JSON.stringify({ kind, k, messages, warm: Math.ceil(messages / 4) }),
    ])
    return { wall: result.wall * slower, cpu: result.cpu * slower }
  }

const headers = headersPrefix()
if (headers === undefined) throw new Error('No headers of Node: set npm_config_nodedir to where they are.')
mkdirSync(join(here, 'build'), { recursive: true })
execFileSync('cc', ['-O2', '-Wall', join(here, 'rights.c'), '-o', program], { stdio: 'inherit' })
const noUsocket = compilePeer(require, 'usocket', 'build/Release/uwrap.node', headers)

const subjects = [
  { name: 'C, seqpacket', measure: inC('seqpacket'), ks: [1, 16, 64, 253] },
  { name: 'C, stream', measure: inC('stream'), ks: [1, 16, 253] },
  { name: '@x/fdpass, seqpacket, sendSync, recvSync', measure: inNode('fdpass sync'), ks: [1, 16, 253] },
  { name: '@x/fdpass, seqpacket, send, recv', measure: inNode('fdpass'), ks: [1, 16, 253] },
  { name: '@x/fdpass, framed, sendSync, recvSync', measure: inNode('fdpass framed sync'), ks: [1, 16, 253] },
  { name: '@x/fdpass, framed, send, recv', measure: inNode('fdpass framed'), ks: [1, 16, 253] },
  ...(noUsocket === undefined
    ? [{ name: 'usocket 1.1.0', measure: inNode('usocket', 4), ks: [1, 16, 64] }]
    : []),
  { name: 'process.send(handle)', measure: inNode('ipc', 20), ks: [1] },
]

const cells = subjects.flatMap(({ name, measure, ks }) =>
  ks.map((k) => ({ name, k, measure: () => measure(k), wall: [], cpu: [] })),
)
for (let round = 0; round < rounds; round++) {
  for (const cell of cells) {
    const { wall, cpu } = cell.measure()
    const descriptors = messagesOf(cell.k) * cell.k
    cell.wall.push(wall / descriptors)
    cell.cpu.push(cpu / descriptors)
  }
}

/** Within a round both met the same machine. */
const ofC = (cell, what) => {
  const base = cells.find(({ name, k }) => name === 'C, seqpacket' && k === cell.k)
  return median(cell[what].map((value, round) => value / base[what][round]))
}
const rows = cells.map((cell) => ({
  name: cell.name,
  k: cell.k,
  wall: median(cell.wall),
  cpu: median(cell.cpu),
  wallOfC: ofC(cell, 'wall'),
  cpuOfC: ofC(cell, 'cpu'),
}))
const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
  linux: release(),
  node: process.version,
  rounds,
  load: loadavg()[0],
  skipped: noUsocket === undefined ? [] : [`usocket: ${noUsocket}`],
}
if (given.json) {
  process.stdout.write(`${JSON.stringify({ machine, rows }, null, 2)}\n`)
} else {
  const facts = Object.entries(machine).map(([key, value]) => `${key}: ${value}`)
  const text = table(
    ['subject', 'descriptors a message', 'µs each', 'of C', 'CPU µs each', 'of C'],
    rows.map((row) => [
      row.name,
      String(row.k),
      row.wall.toFixed(2),
      `${row.wallOfC.toFixed(2)}x`,
      row.cpu.toFixed(2),
      `${row.cpuOfC.toFixed(2)}x`,
    ]),
  )
  process.stdout.write(`${facts.join('\n')}\n\n${text}\n`)
}
