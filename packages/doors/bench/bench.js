// pnpm run bench [--part NAME,…] [--subject TEXT] [--rounds N] [--seconds S] [--smoke] [--json]: what a call of a door
// costs, beside the least that the kernel asks for (roundtrip.c) and other ways to another process. In a round every
// subject has its turn, as processes of its own, so that what disturbs the machine disturbs all of them; each figure is
// the median over rounds.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { measureRoundTrips } from './roundtrip.js'
import { measureThroughput } from './throughput.js'

const help = `usage: pnpm run bench [--part NAME,…] [--subject TEXT] [--rounds N] [--seconds S] [--smoke] [--json]

  --part NAME     one         round trips, client and server on one CPU
                  two         … on two CPUs, one each
                  free        … on the same two, wherever the kernel puts them: a door that may use one CPU only never
                              spins, so this is where it can; "C, spin" has one CPU for each side here too
                  throughput  1, 2, 4 and 8 clients of one server, on all CPUs
                  All, unless told; those of two CPUs need two.
  --subject TEXT  only subjects with TEXT in their names, and C
  --rounds N      turns of each subject: 5, unless told
  --seconds S     of each measurement: 0.25, and of throughput four times that
  --smoke         whether everything works: 16 bytes and a descriptor on one CPU, and two clients, 10 ms each
  --json          figures as JSON

Exit status: 0; 1 when a subject has failed; 2 for a wrong command line.`

const { values: given } = parseArgs({
  options: {
    part: { type: 'string' },
    subject: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    smoke: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** The CPUs that this process may use (proc_pid_status(5)). */
const allowed = () => {
  const [, list] = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => String(first + index))
  })
}
const [a, b] = allowed()
const apart = { client: a, server: b }
const places = {
  one: { client: a, server: a },
  ...(b === undefined
    ? {}
    : { two: { ...apart, apart }, free: { client: `${a},${b}`, server: `${a},${b}`, apart } }),
}
const measures = {
  ...Object.fromEntries(
    Object.entries(places).map(([part, place]) => [part, (context) => measureRoundTrips(context, place)]),
  ),
  throughput: (context) => measureThroughput({ ...context, seconds: context.seconds * 4 }),
}

const usual = given.smoke
  ? { part: 'one,throughput', rounds: '1', seconds: '0.01' }
  : { part: Object.keys(measures).join(','), rounds: '5', seconds: '0.25' }
const parts = (given.part ?? usual.part).split(',')
const [rounds, seconds] = [Number(given.rounds ?? usual.rounds), Number(given.seconds ?? usual.seconds)]
const wrong = parts.find((part) => !Object.hasOwn(measures, part))
if (given.help || wrong !== undefined || !(rounds > 0) || !(seconds > 0)) {
  process.stdout.write(`${wrong === undefined ? '' : `no part ${wrong} here\n`}${help}\n`)
  process.exit(given.help ? 0 : 2)
}

const here = fileURLToPath(new URL('.', import.meta.url))
const program = join(here, 'build/roundtrip')
mkdirSync(join(here, 'build'), { recursive: true })
execFileSync('cc', ['-O2', '-Wall', join(here, 'roundtrip.c'), '-o', program], { stdio: 'inherit' })

const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
  available: availableParallelism(),
  linux: release(),
  node: process.version,
  wmemMax: Number(readFileSync('/proc/sys/net/core/wmem_max', 'utf8')),
  rounds,
  seconds,
  load: loadavg()[0],
}
const print = (text) => {
  if (!given.json) process.stdout.write(text)
}
const folder = mkdtempSync(join(tmpdir(), 'doors-bench-'))
const context = {
  program,
  folder,
  rounds,
  seconds,
  smoke: given.smoke,
  chosen: (subjects) => subjects.filter(({ name }) => name.includes(given.subject)),
}
const report = { machine }
print(
  `${Object.entries(machine)
    .map(([key, value]) => `${key}: ${value}`)
    .join('\n')}\n`,
)
try {
  for (const part of parts) {
    const { rows, text } = await measures[part](context)
    report[part] = rows
    print(`\n${part}\n${text}\n`)
    for (const { name, at, error } of rows.filter((row) => row.error !== undefined)) {
      process.exitCode = 1
      process.stderr.write(`${part}: ${name}: ${at}: ${error}\n`)
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (given.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
else print(`\nload of the machine at the end: ${loadavg()[0]?.toFixed(2)}\n`)
