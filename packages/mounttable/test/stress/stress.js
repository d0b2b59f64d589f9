/**
 * node stress.js [--seconds N] [--seed N] [--lookups N] [--record PERIOD] [--history FILE] [--worker-mb N]
 *
 * Lookups in three workers and the control thread, while mounts are mounted, replaced and unmounted, by force too, and
 * workers are terminated at any moment. Prints one line of JSON: counts, and what did not hold, by the number of the
 * case in the reference. It lasts X_STRESS_SECONDS (3), and on until `--lookups` of the mount point that is
 * replaced all the time are done: 10 million in 60 seconds. One lookup in PERIOD goes into the history.
 */
import { writeFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { MountTable } from '@x/mounttable'
import { SharedTable } from '../../dist/shared-table.js'
import { Crew } from './crew.js'
import { createReads, History } from './history.js'
import { Looker } from './looker.js'
import * as shadows from './shadow.js'
import { ALWAYS, HOLD, LET_GO, POINTS, SLOTS, THREADS, TOTALS } from './shadow.js'

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env.X_STRESS_SECONDS ?? '3' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 30) },
    lookups: { type: 'string' },
    record: { type: 'string', default: '1024' },
    history: { type: 'string' },
    'worker-mb': { type: 'string' },
  },
})
const seconds = Number(given.seconds)
const leastLookups = Number(given.lookups ?? Math.round((10_000_000 * seconds) / 60))
const seed = Number(given.seed)
const period = Number(given.record)
const random = shadows.randomFrom(seed)

/** Changes that go on at once, besides those of the point that is always replaced. */
const MUTATORS = 8
/** How long a wait may take before it counts as one that never ends. */
const LONGEST_WAIT = 20_000
/** Answers to what is asked of the table here; any other error is a failure. */
const EXPECTED = [
  'ERR_MOUNT_TAKEN',
  'ERR_MOUNT_NOT_FOUND',
  'ERR_MOUNT_PREPARE',
  'ERR_MOUNT_SLOTS',
  'ERR_MOUNT_DRAINING_LIMIT',
  'ERR_MOUNT_DRAIN_DEADLINE',
  'ERR_MOUNT_CLEANUP',
  'ERR_MOUNT_STOPPING',
]

const shadow = shadows.createShadow()
const reads = createReads()
const history = new History(reads, shadow.words)
const failures = []
const fail = (number, text) => failures.push(`${number}: ${text}`)
const counts = {
  mounts: 0,
  replacements: 0,
  alwaysReplacements: 0,
  unmounts: 0,
  drains: 0,
  stops: 0,
  refusals: 0,
  cleanups: 0,
  failedCleanups: 0,
  forcedUnderLease: 0,
  quiescentPoints: 0,
  quiescentLeases: 0,
  wordsReadAfterStop: 0,
}
const refused = {}
/** By generation: its point when it was active, how often it was cleaned up, when force may first touch it. */
const active = new Map()
const cleaned = new Map()
const forceable = new Map()
/** Slots that force has emptied, and of which generation, until they are used again. */
const forcedSlots = new Map()
/** Waits that were begun and must end. */
const waits = new Map()

const table = new MountTable({
  slots: SLOTS,
  members: 2 * shadows.WORKERS,
  drainingLimit: 4,
  cleanup,
  prepare: (spec, mount) => looker.handlerOf(mount),
  dispose: (handler) => {
    looker.dispose(handler)
  },
})
const looker = new Looker({
  lookup: (target, host) => table.lookup(target, host),
  thread: 0,
  shadow,
  reads,
  period,
  random,
})
const probe = table.share()
const shared = SharedTable.open(probe.buffer)
probe.port.close()
table.removed(probe.id)
const crew = new Crew({
  table,
  data: { shadow, reads, period },
  random,
  report: (text) => {
    fail('74', text)
  },
  options:
    given['worker-mb'] === undefined
      ? {}
      : { resourceLimits: { maxOldGenerationSizeMb: Number(given['worker-mb']) } },
})

const optionsOf = (point) => (POINTS[point].host === undefined ? {} : { host: POINTS[point].host })
const isAt = (mount, point) => mount.prefix === POINTS[point].prefix && mount.host === POINTS[point].host
const generationsOf = (point) => table.list().filter((mount) => isAt(mount, point))
const activeOf = (point) => generationsOf(point).find(({ state }) => state === 'active')

/** Runs for each generation that was active, in the table's own time; half of the time it takes a while. */
async function cleanup({ slot, generation }) {
  counts.cleanups++
  const times = (cleaned.get(generation) ?? 0) + 1
  cleaned.set(generation, times)
  if (times > 1) fail('71', `generation ${generation} is cleaned up for the ${times}th time`)
  const byForce = (forceable.get(generation) ?? Infinity) <= performance.now() + 2
  Atomics.store(shadow.cleaned, generation, byForce ? 2 : 1)
  const holders = shadows.holders(shadow, slot)
  if (holders > 0 && byForce) counts.forcedUnderLease++
  else if (holders > 0) fail('70', `generation ${generation} in slot ${slot} is cleaned up under ${holders}`)
  if (byForce) forcedSlots.set(slot, generation)
  if (random(2) === 0) await delay(random(4))
  const inSlot = table.list().filter((mount) => mount.slot === slot)
  if (inSlot.length !== 1 || inSlot[0].generation !== generation) {
    fail('71', `slot ${slot} is used again while generation ${generation} is cleaned up`)
  }
  if (random(40) === 0) {
    counts.failedCleanups++
    throw new Error('a clean-up that fails')
  }
}

/** Remembers which generations a call may end by force, and when. */
function allowForce(mounts, { force, deadline = 0 }) {
  if (force !== true) return
  for (const { generation } of mounts) {
    const moment = Math.min(performance.now() + deadline, forceable.get(generation) ?? Infinity)
    forceable.set(generation, moment)
  }
}

function answer(error) {
  if (!EXPECTED.includes(error.code)) fail('74', `unexpected: ${error.stack}`)
  counts.refusals++
  refused[error.code] = (refused[error.code] ?? 0) + 1
}

/** Waits for something that must end in its own time, if only with a refusal. */
function track(what, promise) {
  const key = Symbol(what)
  waits.set(key, what)
  promise.catch(answer).finally(() => waits.delete(key))
}

/** A spec, now and then with a trap for one of the workers. */
function specFor(point) {
  const trap = random(500)
  const members = crew.members()
  const member = members[random(members.length)]
  const turns = trap < 3 ? 1 + random(3) : random(3)
  return {
    point,
    turns,
    ...(trap === 0 && { failIn: member }),
    ...(trap === 1 && { killIn: member }),
    ...(trap === 2 && { exitIn: member }),
  }
}

/** Publishes the floor of a point: what lookups find there from now on has at least this generation. */
function raise(point, generation) {
  if (generation > Atomics.load(shadow.floor, point)) Atomics.store(shadow.floor, point, generation)
}

/** Says whether the point is certainly mounted until further notice. */
function setPresence(point, mounted) {
  const even = (Atomics.load(shadow.presence, point) & 1) === 0
  if (even !== mounted) Atomics.add(shadow.presence, point, 1)
}

/** Slots in use, and those that late releases after a use of force may keep from being used. */
function countSlots() {
  const mounts = table.list()
  for (const { slot, generation } of mounts) {
    if (forcedSlots.get(slot) < generation) forcedSlots.delete(slot)
  }
  const used = new Set(mounts.map(({ slot }) => slot))
  const kept = [...forcedSlots.keys()].filter((slot) => !used.has(slot))
  return { used: used.size, kept: kept.length }
}

async function bring(kind, point) {
  const invoked = history.now()
  const limits = random(30) === 0 ? { deadline: random(6) } : {}
  const options = { ...optionsOf(point), ...limits }
  const spec = specFor(point)
  let mount
  if (kind === 'mount') {
    const { used, kept } = countSlots()
    mount = await table.mount(POINTS[point].prefix, spec, options).catch((error) => {
      if (error.code === 'ERR_MOUNT_SLOTS' && used + kept < SLOTS)
        fail('64', `no slot for another, with ${used} in use and at most ${kept} kept of ${SLOTS}`)
      throw error
    })
  } else {
    const replacement = await table.replace(POINTS[point].prefix, spec, options)
    mount = replacement.mount
    track(`the drain before ${mount.generation}`, replacement.drained)
  }
  history.changed(kind, point, mount.generation, invoked, history.now())
  active.set(mount.generation, point)
  raise(point, mount.generation)
  if (activeOf(point)?.generation === mount.generation) setPresence(point, true)
}

function drainOptions() {
  return [{}, {}, { deadline: 5 + random(40) }, { deadline: random(120), force: true }, { force: true }][
    random(5)
  ]
}

/** What is unmounted is unreachable when the call returns, long before its promise settles. */
function unmount(point) {
  const mounts = [activeOf(point)].filter((mount) => mount !== undefined)
  const options = drainOptions()
  allowForce(mounts, options)
  setPresence(point, false)
  const invoked = history.now()
  track(
    `unmount of ${POINTS[point].prefix}`,
    table.unmount(POINTS[point].prefix, { ...optionsOf(point), ...options }),
  )
  const response = history.now()
  for (const { generation } of mounts) {
    counts.unmounts++
    history.changed('unmount', point, 0, invoked, response)
    raise(point, generation + 1)
  }
}

function drain(point, options) {
  counts.drains++
  allowForce(
    generationsOf(point).filter(({ state }) => state === 'draining'),
    options,
  )
  return table.drain(POINTS[point].prefix, { ...optionsOf(point), ...options })
}

async function change(point) {
  const choice = random(12)
  if (choice === 0) track(`drain of ${POINTS[point].prefix}`, drain(point, drainOptions()))
  else if (activeOf(point) === undefined) {
    await bring('mount', point)
    counts.mounts++
  } else if (choice < 6) unmount(point)
  else {
    await bring('replace', point)
    counts.replacements++
  }
}

let open = false

async function mutate() {
  while (open) {
    await change(1 + random(POINTS.length - 1)).catch(answer)
    looker.turn(20)
    // A refusal at once would leave the event loop no turn.
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Case 20: one replacement after the other, and in all that time no lookup misses. */
async function replaceAlways() {
  while (open) {
    try {
      await bring('replace', ALWAYS)
      counts.alwaysReplacements++
    } catch (error) {
      answer(error)
      if (error.code === 'ERR_MOUNT_DRAINING_LIMIT') {
        await drain(ALWAYS, { deadline: 10, force: random(2) === 0 }).catch(answer)
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

async function replaceWorkers() {
  while (open) {
    await delay(random(150))
    if (open) await crew.replaceOne()
  }
}

/** Case 69, while everybody stands still: the words of each slot add up to its live leases. */
function compareCounts() {
  counts.quiescentPoints++
  history.collect()
  const listed = new Map(table.list().map((mount) => [mount.slot, mount]))
  for (let slot = 0; slot < SLOTS; slot++) {
    let live = 0
    for (let thread = 0; thread < THREADS; thread++) live += shadow.held[thread * SLOTS + slot]
    counts.quiescentLeases += live
    const words = shared.references(slot)
    const told = listed.get(slot)?.references ?? words
    if (words !== live || told !== live) {
      fail('69', `slot ${slot} has ${live} live leases, its words say ${words}, list() says ${told}`)
    }
  }
}

/** Cases 72 and 73: from stop() on nothing is found, and when everybody has let go all words are 0. */
async function stop() {
  counts.stops++
  const options = random(2) === 0 ? { deadline: 10, force: true } : {}
  allowForce(table.list(), options)
  // Also what is mounted and whose caller has not had its turn yet.
  const mounted = [...POINTS.keys()].flatMap((point) => {
    const generation = activeOf(point)?.generation
    return generation === undefined ? [] : [{ point, generation }]
  })
  for (const point of POINTS.keys()) setPresence(point, false)
  const invoked = history.now()
  const stopped = table.stop(options).catch(answer)
  const response = history.now()
  for (const { point, generation } of mounted) {
    history.changed('unmount', point, 0, invoked, response)
    raise(point, generation + 1)
  }
  await crew.standStill(LET_GO, async () => {
    looker.letGo()
    await stopped
    compareCounts()
    for (let slot = 0; slot < SLOTS; slot++) {
      for (let stripe = 0; stripe < shared.stripes; stripe++) {
        counts.wordsReadAfterStop++
        const word = shared.stripeReferences(stripe, slot)
        if (word !== 0) fail('73', `stripe ${stripe} counts ${word} of slot ${slot} after stop()`)
      }
    }
    const left = table.list()
    if (left.length > 0) fail('73', `${left.length} generations are left after stop()`)
  })
}

const EMPTY_STOP = 'stop() of an empty table'

/** A stretch between two stops. */
async function stretch(until) {
  open = true
  // Stopped and opened in one turn: the table is empty, so this stop() has nothing to wait for.
  track(EMPTY_STOP, table.stop())
  table.start()
  while (activeOf(ALWAYS) === undefined) await bring('mount', ALWAYS).catch(answer)
  if ([...waits.values()].includes(EMPTY_STOP))
    fail('57', `${EMPTY_STOP} waits for what was mounted after it`)
  counts.mounts++
  const running = [replaceAlways(), replaceWorkers(), ...Array.from({ length: MUTATORS }, mutate)]
  for (;;) {
    await delay(Math.min(1000, Math.max(until - performance.now(), 50)))
    await crew.standStill(HOLD, compareCounts)
    if (failures.length > 20 || (performance.now() >= until && done())) break
  }
  open = false
  await stop()
  await Promise.all(running)
  await crew.refill()
}

const total = (name) => {
  let sum = 0
  for (let thread = 0; thread < THREADS; thread++) {
    sum += shadow.totals[thread * TOTALS.length + TOTALS.indexOf(name)]
  }
  return sum
}
let lookupsDue = 0
const done = () => total('alwaysLookups') >= lookupsDue

async function untilWaitsEnd() {
  const end = performance.now() + LONGEST_WAIT / 2
  while (waits.size > 0 && performance.now() < end) await delay(5)
  for (const what of waits.values()) fail('71', `${what} never ended`)
}

/** What can be said only when everything is over. */
function conclude() {
  for (const [generation, point] of active) {
    const times = cleaned.get(generation) ?? 0
    if (times !== 1)
      fail('71', `generation ${generation} of ${POINTS[point].prefix} was cleaned up ${times} times`)
  }
  for (const generation of cleaned.keys()) {
    if (!active.has(generation)) fail('71', `generation ${generation} was cleaned up and never mounted`)
  }
  for (let generation = 0; generation < shadows.GENERATIONS; generation++) {
    if (shadow.seen[generation] !== 0 && !active.has(generation)) {
      fail('72', `a lookup found generation ${generation}, which was never mounted`)
    }
  }
  const wrong = {
    alwaysMisses: ['20', 'misses of the mount that is replaced all the time'],
    missesOfMounted: ['72', 'misses of mounts that were there from before the lookup until after it'],
    older: ['72', 'lookups that found a generation below the floor'],
    misrouted: ['72', 'lookups that found what their target does not lead to'],
    cleanedLeases: ['70', 'leases of what was cleaned up'],
    disposedLeases: ['70', 'leases of handlers that were disposed of'],
    disposedUnderLease: ['31', 'handlers disposed of while their thread had a lease'],
    abortsInLookup: ['31', 'abort listeners that ran inside a lookup'],
  }
  for (const [name, [number, what]] of Object.entries(wrong)) {
    if (total(name) > 0) fail(number, `${total(name)} ${what}`)
  }
}

function print() {
  const totals = Object.fromEntries(TOTALS.map((name) => [name, total(name)]))
  const report = {
    ...{ seconds, seed, leastLookups, elapsed: performance.now() / 1000, execArgv: process.execArgv },
    heapLimits: { control: shadows.heapLimit(), worker: crew.heapLimit },
    ...{ ...counts, generations: active.size, refused, ...crew.counts, ...totals },
    ...{ recorded: history.operations.length, failures: failures.slice(0, 40) },
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
  if (given.history !== undefined) {
    const points = POINTS.map(({ prefix, host }) => `${host ?? ''}${prefix}`)
    writeFileSync(given.history, JSON.stringify({ points, operations: history.operations }))
  }
  process.exitCode = failures.length > 0 ? 1 : 0
}

let phase = 'start'
/** A run that stands still longer than any wait may last will never end: it says what it knows, and ends here. */
let last = ''
let since = performance.now()
const watchdog = setInterval(() => {
  const now = `${phase}, ${crew.doing}, ${counts.quiescentPoints}`
  if (now !== last) since = performance.now()
  last = now
  if (performance.now() - since < LONGEST_WAIT) return
  const generations = table.list().map((mount) => `${mount.prefix} ${mount.state} ${mount.references}`)
  fail('74', `it hangs in ${phase}, ${crew.doing}; there are ${generations.join('; ')}`)
  for (const what of waits.values()) fail('74', `${what} has not ended`)
  print()
  process.exit(1)
}, 1000)

await crew.startAll()
const STRETCHES = Math.max(3, Math.round(seconds / 5))
for (let index = 1; index <= STRETCHES; index++) {
  phase = `stretch ${index} of ${STRETCHES}`
  lookupsDue = (leastLookups * index) / STRETCHES
  await stretch(performance.now() + (seconds * 1000) / STRETCHES)
}
phase = 'the end'
await crew.terminateAll()
await untilWaitsEnd()
table.close()
conclude()
print()
clearInterval(watchdog)
