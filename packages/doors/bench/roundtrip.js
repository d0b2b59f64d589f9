// One client and one server on given CPUs.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { median, table } from '@x/bench'
import { subjects } from './subjects.js'

const client = fileURLToPath(new URL('client.js', import.meta.url))
const DESCRIPTOR = { bytes: 16, descriptors: 1 }
/** What a packet of a door has at most. */
const PIECE = 65_536
/** Of a client, in ms, beside the time that it measures. */
const PATIENCE = 20_000
const SIZES = [16, 1024, 65_536, 1_048_576].map((bytes) => ({ bytes, descriptors: 0 }))

const sizesOf = (smoke) => (smoke ? SIZES.slice(0, 1) : SIZES)

/** What is measured in C, by the name that roundtrip.c has for it. */
const floors = ({ apart, ...place }, smoke) => [
  { kind: 'seqpacket', cells: [...sizesOf(smoke), DESCRIPTOR], place },
  { kind: 'pieces', cells: sizesOf(smoke).filter(({ bytes }) => bytes > PIECE), place },
  { kind: 'futex', cells: sizesOf(smoke), place },
  // Who looks all the time while it waits needs a CPU of its own, for as long as it does.
  ...(apart === undefined ? [] : [{ kind: 'spin', cells: sizesOf(smoke), place: apart }]),
]

const inC = ({ kind, cells, place }, { program, seconds }) => ({
  name: `C, ${kind}`,
  cells,
  measure: () =>
    cells.map(({ bytes, descriptors }) => {
      const args = [kind, bytes, descriptors, seconds, seconds, place.client, place.server].map(String)
      return JSON.parse(execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe', timeout: 60_000 }))
    }),
})

/** Why a client has not measured a cell: the first line of what it has printed that names a cause. */
const causeOf = ({ error, stderr, signal, status }, after) => {
  if (after > 0) return 'one before it has failed'
  return (
    error?.message ??
    stderr.split('\n').find((line) => /^\w*Error\b/.test(line)) ??
    `ended: ${signal ?? status}`
  )
}

const inNode = ({ name, descriptor = false, options }, { seconds, smoke, folder }, place) => ({
  name,
  cells: [...sizesOf(smoke), ...(descriptor ? [DESCRIPTOR] : [])],
  measure: (cells) => {
    const path = join(mkdtempSync(join(folder, 'pair-')), 'name')
    const told = JSON.stringify({ ...options, path, cells, seconds, serverCpus: place.server })
    const args = ['-c', place.client, process.execPath, client, told]
    const ended = spawnSync('taskset', args, {
      encoding: 'utf8',
      timeout: PATIENCE + cells.length * seconds * 10_000,
      killSignal: 'SIGKILL',
    })
    const lines = ended.stdout.split('\n').filter((line) => line !== '')
    return cells.map((_, index) =>
      index < lines.length ? JSON.parse(lines[index]) : { error: causeOf(ended, index - lines.length) },
    )
  },
})

const sizeOf = ({ bytes, descriptors }) => `${bytes} B${descriptors > 0 ? ' + descriptor' : ''}`

const rowOf = ({ rounds, ...cell }, all) => {
  const ratioTo = (name) => {
    const base = all.find(
      (other) => other.name === name && other.bytes === cell.bytes && other.descriptors === cell.descriptors,
    )
    const ratios = rounds.map(({ wall }, round) => wall / base?.rounds[round].wall)
    return median(ratios.filter(Number.isFinite))
  }
  const good = rounds.filter(({ error }) => error === undefined)
  return {
    ...cell,
    at: sizeOf(cell),
    samples: rounds,
    wall: median(good.map(({ wall }) => wall)),
    least: Math.min(...good.map(({ wall }) => wall)),
    cpu: median(good.map(({ cpu }) => cpu)),
    ofSeqpacket: ratioTo('C, seqpacket'),
    ofFutex: ratioTo('C, futex'),
    ofSpin: ratioTo('C, spin'),
    ...(good.length < rounds.length ? { error: rounds.find(({ error }) => error !== undefined).error } : {}),
  }
}

const times = (value) => (Number.isFinite(value) ? `${value.toFixed(2)}x` : '–')
const line = (row) => [
  row.name,
  row.at,
  ...(Number.isNaN(row.wall)
    ? ['failed', ...Array.from({ length: 5 }, () => '–')]
    : [
        ...[row.wall, row.least, row.cpu].map((value) => value.toFixed(2)),
        ...[row.ofSeqpacket, row.ofFutex, row.ofSpin].map(times),
      ]),
]

/**
 * Every subject in turn, `rounds` times over, with client and server on the CPUs of `place`; `place.apart` is one CPU for
 * each, where there are two.
 */
export const measureRoundTrips = (context, place) => {
  const all = [
    ...floors(place, context.smoke).map((floor) => inC(floor, context)),
    ...context.chosen(subjects).map((subject) => inNode(subject, context, place)),
  ]
  const results = all.map(() => [])
  for (let round = 0; round < context.rounds; round++) {
    for (const [index, subject] of all.entries()) results[index].push(subject.measure(subject.cells))
  }
  const cells = all.flatMap(({ name, cells }, index) =>
    cells.map((cell, at) => ({ name, ...cell, rounds: results[index].map((result) => result[at]) })),
  )
  const rows = cells.map((cell) => rowOf(cell, cells))
  const head = ['subject', 'each way', 'µs', 'least', 'CPU µs', 'of seqpacket', 'of futex', 'of spin']
  return { rows, text: table(head, rows.map(line)) }
}
