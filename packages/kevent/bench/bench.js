// pnpm run bench [--only PART,…] [--rounds N] [--duration MS] [--json]: @x/kevent against raw epoll in C, in
// one run, by CPU time. Each figure is the median over rounds; in a round every subject has its turn, as a
// process of its own, so that what disturbs the machine disturbs all of them.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { compilePeer, median, ratio, table } from '@x/bench'
import { headersPrefix } from '@x/native-build'

const parts = ['pingpong', 'deliver', 'wake', 'burst', 'memory', 'force', 'terminate']
const help = `usage: pnpm run bench [--only ${parts.join(',')}] [--rounds N] [--duration MS] [--json]

  pingpong  CPU per event: read what is there, write it back; 64 socket pairs, batches of 16
  deliver   CPU per event of delivery and re-arming alone; 64 descriptors that are always ready
  wake      3000 single events to sleeping threads: latency, and CPU of all
  burst     nine events at one instant, one of which takes 20 ms; two threads
  memory    of 19 000 watched descriptors
  force     what EV_FORCEONESHOT costs its caller, and a thread that sleeps
  terminate from Worker.terminate() to the end of a thread that waits`

const here = fileURLToPath(new URL('.', import.meta.url))
const program = join(here, 'build/epoll')
const subject = join(here, 'subject.js')
const require = createRequire(import.meta.url)

const { values: given } = parseArgs({
  options: {
    only: { type: 'string', default: parts.join(',') },
    rounds: { type: 'string', default: '7' },
    duration: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const only = given.only.split(',')
const rounds = Number(given.rounds)
const duration = Number(given.duration)
const wrong = only.find((part) => !parts.includes(part))
if (given.help || wrong !== undefined || !(rounds > 0) || !(duration > 0)) {
  process.stdout.write(`${wrong === undefined ? '' : `no part ${wrong}\n`}${help}\n`)
  process.exit(given.help ? 0 : 2)
}

const WARM = 250
const BATCH = 16
const WORKERS = [1, 2]

const compile = (source, flags, result) => {
  execFileSync('cc', ['-O2', ...flags, join(here, source), '-o', join(here, 'build', result)], {
    stdio: 'inherit',
  })
}

const build = (prefix) => {
  mkdirSync(join(here, 'build'), { recursive: true })
  compile('epoll.c', ['-pthread'], 'epoll')
  compile('io.c', ['-shared', '-fPIC', `-I${join(prefix, 'include/node')}`], 'io.node')
}

/** Runs a program to its end and parses what it prints. */
const run = (command, args) => JSON.parse(execFileSync(command, args, { encoding: 'utf8', timeout: 60_000 }))
const runNode = (options) => run(process.execPath, [subject, JSON.stringify(options)])

/** Every subject in turn, `times` times over; what each has answered. */
const byTurns = (subjects, times) => {
  const results = subjects.map(() => [])
  for (let round = 0; round < times; round++) {
    for (const [index, { measure }] of subjects.entries()) results[index].push(measure())
  }
  return results
}

const perEvent = ({ events, cpu }) => cpu / events
const name = (mode, note) =>
  `@x/kevent, ${mode === 'loop' ? 'event loop' : 'blocking'}${
    { nodata: '', data: ', with data', drained: ', NOTE_DRAINED' }[note]
  }`

const loads = (workload) => {
  const subjects = WORKERS.map((workers) => ({
    name: 'epoll ONESHOT + MOD in C',
    workers,
    measure: () => run(program, [workload, workers, BATCH, WARM, duration].map(String)),
  }))
  for (const notes of workload === 'pingpong' ? ['nodata', 'data', 'drained'] : ['nodata', 'data']) {
    for (const mode of ['block', 'loop']) {
      for (const workers of WORKERS) {
        const options = { kind: 'load', workload, mode, workers, notes, batch: BATCH, warm: WARM, duration }
        subjects.push({ name: name(mode, notes), workers, measure: () => runNode(options) })
      }
    }
  }
  if (workload !== 'pingpong') return subjects
  const alone = { workers: 1, warm: WARM, duration }
  subjects.push({ name: 'net.Socket', workers: 1, measure: () => runNode({ kind: 'socket', ...alone }) })
  if (noNpmEpoll === undefined) {
    subjects.push({ name: 'npm epoll 4.0.2', workers: 1, measure: () => runNode({ kind: 'npm', ...alone }) })
  }
  return subjects
}

const measureLoad = (workload) => {
  const subjects = loads(workload)
  const results = byTurns(subjects, rounds)
  const rows = subjects.map(({ name: title, workers }, index) => {
    const costs = results[index].map(perEvent)
    const base = results[WORKERS.indexOf(workers)].map(perEvent)
    return {
      name: title,
      workers,
      ns: median(costs),
      least: Math.min(...costs),
      most: Math.max(...costs),
      // Within a round both met the same machine.
      ratio: median(costs.map((cost, round) => cost / base[round])),
      cores: median(results[index].map((result) => result.cpu / result.wall)),
      perSecond: median(results[index].map(({ events, wall }) => (events / wall) * 1e9)),
    }
  })
  return {
    rows,
    text: table(
      ['subject', 'workers', 'CPU ns/event', 'least', 'most', 'of C', 'cores', 'events/s'],
      rows.map((row) => [
        row.name,
        String(row.workers),
        ...[row.ns, row.least, row.most].map((value) => value.toFixed(0)),
        `${row.ratio.toFixed(2)}x`,
        row.cores.toFixed(2),
        `${(row.perSecond / 1000).toFixed(0)}k`,
      ]),
    ),
  }
}

/** A subject that waits for stamps, and the driver that writes them, at the two ends of `count` pairs. */
const measureStamps = async (command, args, count, driver) => {
  const ends = require('./build/io.node')
  const pairs = ends.pairs(count)
  const reading = pairs.filter((_, index) => index % 2 === 0)
  const writing = pairs.filter((_, index) => index % 2 === 1)
  const reader = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit', ...reading] })
  const closed = once(reader, 'close')
  const chunks = []
  reader.stdout.on('data', (chunk) => chunks.push(chunk))
  if (command === process.execPath) await once(reader.stdout, 'data')
  const writer = spawn(program, ['drive', ...driver.map(String)], {
    stdio: ['ignore', 'inherit', 'inherit', ...writing],
  })
  ends.close(pairs)
  await once(writer, 'exit')
  reader.stdin.end()
  await closed
  const result = JSON.parse(Buffer.concat(chunks).toString().replace('ready\n', ''))
  const sorted = result.latencies.sort((a, b) => a - b)
  return { ...result, sorted }
}

const at = (sorted, part) => sorted[Math.min(Math.floor(sorted.length * part), sorted.length - 1)] ?? NaN

const stampSubjects = (workers, descriptors, batch) => [
  {
    name: 'epoll ONESHOT + MOD in C',
    workers,
    command: program,
    args: ['wake', workers, batch, descriptors].map(String),
  },
  ...['block', 'loop'].map((mode) => ({
    name: name(mode, 'nodata'),
    workers,
    command: process.execPath,
    args: [subject, JSON.stringify({ kind: 'wake', mode, workers, descriptors, batch, warm: WARM })],
  })),
]

const stampResults = async (subjects, times, descriptors, driver) => {
  const results = subjects.map(() => [])
  for (let round = 0; round < times; round++) {
    for (const [index, { command, args }] of subjects.entries()) {
      results[index].push(await measureStamps(command, args, descriptors, driver))
    }
  }
  return results
}

const measureWake = async () => {
  const events = 3000
  const subjects = [1, 2, 4].flatMap((workers) => stampSubjects(workers, 8, 1))
  const results = await stampResults(subjects, Math.min(rounds, 3), 8, [events, 500, 8, 0])
  const rows = subjects.map(({ name: title, workers }, index) => ({
    name: title,
    workers,
    p50: median(results[index].map(({ sorted }) => at(sorted, 0.5))) / 1000,
    p99: median(results[index].map(({ sorted }) => at(sorted, 0.99))) / 1000,
    cpu: median(results[index].map(({ cpu }) => cpu)) / 1e6,
    lost: events * results[index].length - results[index].reduce((sum, { sorted }) => sum + sorted.length, 0),
  }))
  const base = (row) => rows.find(({ workers }) => workers === row.workers)
  return {
    rows,
    text: table(
      ['subject', 'threads', 'p50 µs', 'p99 µs', 'p50 of C', 'CPU ms'],
      rows.map((row) => [
        row.name,
        String(row.workers),
        row.p50.toFixed(1),
        row.p99.toFixed(1),
        ratio(row.p50, base(row)?.p50),
        row.cpu.toFixed(0),
      ]),
    ),
  }
}

const measureBurst = async () => {
  const subjects = [...stampSubjects(2, 9, 1), ...stampSubjects(2, 9, BATCH).slice(0, 1)]
  subjects[3].name += ', batch 16'
  const results = await stampResults(subjects, 1, 9, [40, 60_000, 9, 1])
  const rows = subjects.map(({ name: title }, index) => {
    const { sorted } = results[index][0]
    return {
      name: title,
      p50: at(sorted, 0.5) / 1e6,
      p99: at(sorted, 0.99) / 1e6,
      late: sorted.filter((latency) => latency > 5e6).length,
      events: sorted.length,
    }
  })
  return {
    rows,
    text: table(
      ['subject, 2 threads', 'p50 ms', 'p99 ms', 'later than 5 ms'],
      rows.map((row) => [row.name, row.p50.toFixed(3), row.p99.toFixed(3), `${row.late} of ${row.events}`]),
    ),
  }
}

const measureMemory = () => {
  const descriptors = 19_000
  const rows = [
    { name: 'epoll in C', ...run(program, ['memory', String(descriptors)]) },
    { name: '@x/kevent', ...runNode({ kind: 'memory', descriptors }) },
  ]
  return {
    rows,
    text: table(
      ['subject', 'user bytes', 'slab bytes', 'ns to add'],
      rows.map((row) => [row.name, ...[row.user, row.slab, row.add].map((value) => value.toFixed(0))]),
    ),
  }
}

const measureForce = () => {
  const results = Array.from({ length: Math.min(rounds, 3) }, () => runNode({ kind: 'force', rounds: 500 }))
  const rows = [
    ['EV_FORCEONESHOT of a knote in a handler, by 64 (ns)', 'batch'],
    ['… by one (ns)', 'one'],
    ['of an idle knote while a thread sleeps: the call (ns)', 'call'],
    ['… until that thread has it, p50 (ns)', 'p50'],
    ['… p99 (ns)', 'p99'],
  ].map(([title, field]) => ({ name: title, value: median(results.map((result) => result[field])) }))
  return {
    rows,
    text: table(
      ['what', 'cost'],
      rows.map((row) => [row.name, row.value.toFixed(0)]),
    ),
  }
}

const measureTerminate = () => {
  const rows = ['block', 'loop'].map((mode) => ({
    name: mode === 'loop' ? 'in its event loop' : 'blocked in kevent()',
    ...runNode({ kind: 'terminate', mode, rounds: 30 }),
  }))
  return {
    rows,
    text: table(
      ['a worker that waits', 'p50 ms', 'most ms'],
      rows.map((row) => [row.name, row.p50.toFixed(1), row.most.toFixed(1)]),
    ),
  }
}

const measures = {
  pingpong: () => measureLoad('pingpong'),
  deliver: () => measureLoad('deliver'),
  wake: measureWake,
  burst: measureBurst,
  memory: measureMemory,
  force: measureForce,
  terminate: measureTerminate,
}

const headers = headersPrefix()
if (headers === undefined) throw new Error('No headers of Node: set npm_config_nodedir to where they are.')
build(headers)
const noNpmEpoll = compilePeer(require, 'epoll', 'build/Release/epoll.node', headers)
const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
  linux: release(),
  node: process.version,
  rounds,
  duration,
  load: loadavg()[0],
  skipped: noNpmEpoll === undefined ? [] : [`npm epoll: ${noNpmEpoll}`],
}
const report = { machine }
if (!given.json)
  process.stdout.write(
    `${Object.entries(machine)
      .map(([key, value]) => `${key}: ${value}`)
      .join('\n')}\n`,
  )
for (const part of only) {
  const { rows, text } = await measures[part]()
  report[part] = rows
  if (!given.json) process.stdout.write(`\n${part}\n${text}\n`)
}
if (given.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
else process.stdout.write(`\nload of the machine at the end: ${loadavg()[0]?.toFixed(2)}\n`)
