// pnpm run bench [--only PART,…] [--rounds N] [--duration MS] [--json]: what a reference, a lookup and a change cost,
// in one run, by CPU time. Each figure is the median over rounds; in a round every subject has its turn, as a process
// of its own, so that what disturbs the machine disturbs all of them.
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median, ratio, table } from '@x/bench'

const parts = ['count', 'lookup', 'publish']
const help = `usage: pnpm run bench [--only ${parts.join(',')}] [--rounds N] [--duration MS] [--json]

  count    CPU per acquire and release of one slot, by 1 thread and by 2: this package, one shared pair of counts,
           a lock, and no counting
  lookup   CPU per lookup and release among 10, 100, 1000 and 10 000 mounts, against find-my-way and radix3
  publish  mount, replace and unmount among 10 000 mounts, with 0 and 2 workers besides the control thread

  --rounds    turns of every subject (7)
  --duration  milliseconds that a subject is measured in a round (500)
  --json      print one JSON document`

/** What design.md asks for, section 3 and case 50 of the reference. */
const targets = { acquire: 40, contended: 1.3, lookup100: 1, lookup10000: 1000, publish: 50 }

const refuse = (why) => {
  process.stderr.write(`${why}\n${help}\n`)
  process.exit(2)
}

const read = () => {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', default: parts.join(',') },
        rounds: { type: 'string', default: '7' },
        duration: { type: 'string', default: '500' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values
  } catch (error) {
    return refuse(error.message)
  }
}

const given = read()
if (given.help) {
  process.stdout.write(`${help}\n`)
  process.exit(0)
}
const only = given.only.split(',')
const rounds = Number(given.rounds)
const duration = Number(given.duration)
const wrong = only.find((part) => !parts.includes(part))
if (wrong !== undefined) refuse(`no part '${wrong}'`)
if (!(Number.isInteger(rounds) && rounds > 0)) refuse(`--rounds must be a whole number, not ${given.rounds}`)
if (!(duration > 0)) refuse(`--duration must be a number of milliseconds, not ${given.duration}`)

const WARM = Math.min(250, duration)
const subject = fileURLToPath(new URL('subject.js', import.meta.url))

/** Runs one measured program to its end and parses what it prints. */
const run = (options) =>
  JSON.parse(
    execFileSync(process.execPath, [subject, JSON.stringify(options)], {
      encoding: 'utf8',
      timeout: 120_000 + 4 * duration,
    }),
  )

/** Every subject in turn, `rounds` times over; what each has answered. */
const byTurns = (subjects) => {
  const results = subjects.map(() => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, { options }] of subjects.entries()) results[index].push(run(options))
  }
  return results
}

const perRound = ({ rounds: done, cpu }) => cpu / done
const spread = (values) => ({
  ns: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
})
const inNs = ({ ns, least, most }) => [ns, least, most].map((value) => value.toFixed(1))
/** A target, and whether a figure is within it. */
const against = (value, most, text) => `${text}: ${value <= most ? 'met' : 'missed'}`

const WAYS = [
  ['stripe', 'a stripe each: Stripe of this package'],
  ['lease', '… with its Lease'],
  ['raw', '… the bare atomics'],
  ['lookup', '… with the lookup of the only mount'],
  ['pair', 'one shared pair of counts, and a state'],
  ['mutex', 'plain counts under a lock'],
  ['none', 'no counting'],
]

const measureCount = () => {
  const subjects = WAYS.flatMap(([way, name]) =>
    [1, 2].map((threads) => ({
      name,
      way,
      threads,
      options: { kind: 'count', way, threads, warm: WARM, duration },
    })),
  )
  const results = byTurns(subjects)
  const costs = results.map((each) => each.map(perRound))
  const costsOf = (way, threads) =>
    costs[subjects.findIndex((each) => each.way === way && each.threads === threads)]
  const rows = subjects.map(({ name, way, threads }, index) => ({
    name,
    way,
    threads,
    ...spread(costs[index]),
    // Within a round both met the same machine.
    ofStripe: median(costs[index].map((cost, round) => cost / costsOf('stripe', threads)[round])),
    ofAlone: median(costs[index].map((cost, round) => cost / costsOf(way, 1)[round])),
    cores: median(results[index].map(({ cpu, wall }) => cpu / wall)),
  }))
  const target = ({ way, threads, ns, ofAlone }) => {
    if (way !== 'stripe' && way !== 'lease') return ''
    if (threads === 1) return against(ns, targets.acquire, `<= ${targets.acquire} ns`)
    return against(ofAlone, targets.contended, `<= ${targets.contended}x alone`)
  }
  return {
    rows,
    text: table(
      ['acquire + release', 'threads', 'CPU ns', 'least', 'most', 'of Stripe', 'of alone', 'cores', 'target'],
      rows.map((row) => [
        row.name,
        String(row.threads),
        ...inNs(row),
        `${row.ofStripe.toFixed(2)}x`,
        row.threads === 1 ? '' : `${row.ofAlone.toFixed(2)}x`,
        row.cores.toFixed(2),
        target(row),
      ]),
    ),
  }
}

const ROUTERS = ['mounttable', 'find-my-way', 'radix3']

const measureLookup = () => {
  const subjects = [10, 100, 1000, 10_000].flatMap((mounts) =>
    ROUTERS.map((router) => ({
      router,
      mounts,
      options: { kind: 'lookup', router, mounts, warm: WARM, duration },
    })),
  )
  const costs = byTurns(subjects).map((each) => each.map(perRound))
  const rows = subjects.map(({ router, mounts }, index) => {
    const base = costs[subjects.findIndex((each) => each.router === 'find-my-way' && each.mounts === mounts)]
    return {
      name: router === 'mounttable' ? '@x/mounttable, lookup and release' : router,
      router,
      mounts,
      ...spread(costs[index]),
      ofFindMyWay: median(costs[index].map((cost, round) => cost / base[round])),
    }
  })
  const target = ({ router, mounts, ns, ofFindMyWay }) => {
    if (router !== 'mounttable') return ''
    if (mounts === 100) return against(ofFindMyWay, targets.lookup100, `<= ${targets.lookup100}x find-my-way`)
    return mounts === 10_000 ? against(ns, targets.lookup10000, `<= ${targets.lookup10000} ns`) : ''
  }
  return {
    rows,
    text: table(
      ['router', 'mounts', 'CPU ns', 'least', 'most', 'of find-my-way', 'target'],
      rows.map((row) => [
        row.name,
        String(row.mounts),
        ...inNs(row),
        `${row.ofFindMyWay.toFixed(2)}x`,
        target(row),
      ]),
    ),
  }
}

const measurePublish = () => {
  const mounts = 10_000
  const subjects = [0, 2].map((workers) => ({
    workers,
    options: { kind: 'publish', workers, mounts, times: 50 },
  }))
  const results = byTurns(subjects)
  const rows = ['mount', 'replace', 'unmount', 'join'].flatMap((call) =>
    subjects.flatMap(({ workers }, index) => {
      if (call === 'join' && workers === 0) return []
      const walls = results[index].flatMap((result) => result[call].walls)
      return {
        name: call === 'join' ? 'a worker starts and joins' : call,
        workers,
        p50: median(walls),
        most: Math.max(...walls),
        cpu: median(results[index].map((result) => result[call].cpu)),
      }
    }),
  )
  const alone = (row) => rows.find(({ name, workers }) => name === row.name && workers === 0)?.p50
  return {
    rows,
    text: table(
      [`among ${mounts} mounts`, 'workers', 'p50 ms', 'most ms', 'of 0 workers', 'CPU ms', 'target'],
      rows.map((row) => [
        row.name,
        String(row.workers),
        row.p50.toFixed(3),
        row.most.toFixed(3),
        ratio(row.p50, alone(row)),
        row.cpu.toFixed(3),
        row.name === 'mount' || row.name === 'replace'
          ? against(row.p50, targets.publish, `<= ${targets.publish} ms`)
          : '',
      ]),
    ),
  }
}

const measures = { count: measureCount, lookup: measureLookup, publish: measurePublish }
const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
  linux: release(),
  node: process.version,
  rounds,
  duration,
  load: loadavg()[0],
}
const report = { machine, targets }
if (!given.json) {
  const lines = Object.entries(machine).map(([key, value]) => `${key}: ${value}`)
  process.stdout.write(`${lines.join('\n')}\n`)
}
for (const part of only) {
  const { rows, text } = measures[part]()
  report[part] = rows
  if (!given.json) process.stdout.write(`\n${part}\n${text}\n`)
}
if (given.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
else process.stdout.write(`\nload of the machine at the end: ${loadavg()[0]?.toFixed(2)}\n`)
