// pnpm run bench [--only NAME,…] [--growth] [--turns N] [--rounds N] [--warm N] [--json] [--plot FILE]: what a restore
// costs, against the least that it can cost in C, measured in the same run, and beside what CRIU needed. In a turn every
// scenario has a process of its own, so that what disturbs the machine disturbs all of them.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median, ratio, table } from '@x/bench'
import { writeImages } from '../dist/index.js'
import { criu } from './criu.js'
import { imagesOf, makeFiles } from './images.js'
import { fit, plot } from './plot.js'
import { descriptorsOf, growths, scenarios } from './scenarios.js'

const names = scenarios.map(({ name }) => name)
const help = `usage: pnpm run bench [--only NAME,…] [--growth] [--turns N] [--rounds N] [--warm N] [--json] [--plot FILE]

${scenarios.map(({ name, title }) => `  ${name.padEnd(15)}${title}`).join('\n')}

  --growth  how time grows with descriptors and processes, instead of these scenarios
  --plot    writes the growth as an SVG to this file; with --growth
  --turns   processes for each scenario (3)
  --rounds  restores that a process measures (10)
  --warm    restores before that, besides the first, which has a figure of its own (30)
  --json    print one JSON document`

const refuse = (why) => {
  process.stderr.write(`${why}\n${help}\n`)
  process.exit(2)
}

const read = () => {
  try {
    return parseArgs({
      options: {
        only: { type: 'string', default: names.join(',') },
        growth: { type: 'boolean', default: false },
        plot: { type: 'string' },
        turns: { type: 'string', default: '3' },
        rounds: { type: 'string', default: '10' },
        warm: { type: 'string', default: '30' },
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
const unknown = only.find((name) => !names.includes(name))
if (unknown !== undefined) refuse(`no scenario '${unknown}'`)
if (given.plot !== undefined && !given.growth) refuse('--plot is for --growth')
const [turns, rounds, warm] = ['turns', 'rounds', 'warm'].map((option) => {
  const number = Number(given[option])
  if (!Number.isInteger(number) || number < (option === 'warm' ? 0 : 1))
    refuse(`--${option} must be a whole number, not ${given[option]}`)
  return number
})

const here = fileURLToPath(new URL('.', import.meta.url))
const floor = join(here, 'build/floor')
const subject = join(here, 'subject.js')
const folder = mkdtempSync(join(tmpdir(), 'restore-bench-'))
process.on('exit', () => {
  rmSync(folder, { recursive: true, force: true })
})

const run = (command, args) => JSON.parse(execFileSync(command, args, { encoding: 'utf8', timeout: 300_000 }))

const inC = ({ kind, processes, own, shared }) =>
  run(floor, [kind, ...[processes, own, shared].map(String), folder, String(rounds + warm)]).slice(warm)

const inNode = ({ name }) =>
  run(process.execPath, [subject, JSON.stringify({ folder: join(folder, name), warm, rounds })])

const PARTS = ['read', 'plan', 'run']
const planAndRun = (what) => (round) => round.plan[what] + round.run[what]

/** Median and least of what the rounds say. */
const over = (list, of) => {
  const values = list.map(of)
  return { median: median(values), least: Math.min(...values) }
}

const summarise = (scenario, { firsts, measured, floors }) => {
  const { name, title, processes } = scenario
  const theirs = criu[name]
  return {
    name,
    title,
    descriptors: descriptorsOf(scenario),
    processes,
    operations: measured[0].operations,
    parts: Object.fromEntries(
      PARTS.map((part) => [
        part,
        {
          wall: over(measured, (each) => each[part].wall),
          cpu: over(measured, (each) => each[part].cpu),
          first: median(firsts.map((each) => each[part].wall)),
          firstCpu: median(firsts.map((each) => each[part].cpu)),
        },
      ]),
    ),
    wall: over(measured, planAndRun('wall')),
    cpu: over(measured, planAndRun('cpu')),
    first: median(firsts.map(planAndRun('wall'))),
    floor: { wall: over(floors, ({ wall }) => wall), cpu: over(floors, ({ cpu }) => cpu) },
    criu: theirs === undefined ? undefined : theirs.rootPrep + theirs.fdSpan,
  }
}

/** Every scenario in turn, `turns` times over. */
const measure = async (list) => {
  const results = list.map(() => ({ firsts: [], measured: [], floors: [] }))
  for (const scenario of list) {
    const target = join(folder, scenario.name)
    rmSync(target, { recursive: true, force: true })
    await writeImages(target, imagesOf(scenario, folder))
  }
  for (let turn = 0; turn < turns; turn++) {
    for (const [index, scenario] of list.entries()) {
      const { first, measured } = inNode(scenario)
      results[index].firsts.push(first)
      results[index].measured.push(...measured)
      results[index].floors.push(...inC(scenario))
    }
  }
  return list.map((scenario, index) => summarise(scenario, results[index]))
}

const ms = (value) => value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)

const tableOf = (rows) =>
  table(
    [
      'ms',
      'fds',
      'read',
      'plan',
      'run',
      'plan+run',
      'least',
      'CPU',
      'first',
      'floor',
      'CPU',
      'of floor',
      'CRIU',
      'of CRIU',
    ],
    rows.map(({ name, descriptors, parts, wall, cpu, first, floor: least, criu: theirs }) => [
      name,
      String(descriptors),
      ...PARTS.map((part) => ms(parts[part].wall.median)),
      ms(wall.median),
      ms(wall.least),
      ms(cpu.least),
      ms(first),
      ms(least.wall.least),
      ms(least.cpu.least),
      ratio(wall.least, least.wall.least),
      theirs === undefined ? '' : ms(theirs),
      ratio(wall.median, theirs),
    ]),
  )

const measureScenarios = async () => {
  const rows = await measure(scenarios.filter(({ name }) => only.includes(name)))
  return { rows, text: tableOf(rows) }
}

/** How well a straight line says it: time for none and for each, and the part of the variance that it explains. */
const lineOf = (points) => {
  const { start, each, explained } = fit(points)
  return `${ms(start)} ms and ${(each * 1000).toFixed(2)} µs for each, r² ${explained.toFixed(4)}`
}

const measureGrowth = async () => {
  const rows = []
  for (const { title, unit, points } of growths) {
    const measured = await measure(points.map(({ scenario }) => scenario))
    const along = (of) => points.map(({ count }, index) => [count, of(measured[index])])
    rows.push({
      title,
      unit,
      ours: along(({ wall }) => wall.least),
      cpu: along(({ cpu }) => cpu.least),
      floor: along(({ floor: { wall } }) => wall.least),
      criu: along(({ criu: theirs }) => theirs).filter(([, value]) => value !== undefined),
    })
  }
  if (given.plot !== undefined) writeFileSync(given.plot, plot(rows))
  const text = rows
    .map(({ title, unit, ours, cpu, floor: least }) =>
      [
        table(
          [title, 'plan+run ms', 'CPU ms', 'floor ms'],
          ours.map(([count, wall], index) => [
            `${count} ${unit}`,
            ms(wall),
            ms(cpu[index][1]),
            ms(least[index][1]),
          ]),
        ),
        `wall: ${lineOf(ours)}`,
        `CPU: ${lineOf(cpu)}`,
      ].join('\n'),
    )
    .join('\n\n')
  return { rows, text }
}

mkdirSync(join(here, 'build'), { recursive: true })
execFileSync('cc', ['-O2', '-Wall', join(here, 'floor.c'), '-o', floor], { stdio: 'inherit' })
makeFiles(folder)
const machine = {
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
  linux: release(),
  node: process.version,
  turns,
  rounds,
  warm,
  load: loadavg()[0],
}
const { rows, text } = await (given.growth ? measureGrowth() : measureScenarios())
if (given.json) process.stdout.write(`${JSON.stringify({ machine, criu, rows }, null, 2)}\n`)
else {
  const lines = Object.entries(machine).map(([key, value]) => `${key}: ${value}`)
  process.stdout.write(
    `${lines.join('\n')}\n\n${text}\n\nload of the machine at the end: ${loadavg()[0]?.toFixed(2)}\n`,
  )
}
