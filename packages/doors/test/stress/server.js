/**
 * The server of the stress: node server.js FOLDER SEED, with an IPC channel to the supervisor. It serves all doors, ends
 * its own threads and revokes a door at any moment, until it is killed or told to end.
 */
import { channel } from 'node:diagnostics_channel'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createDoor, setServerCreation } from '@x/doors'
import { binding } from '../../dist/binding.js'
import { counted, COUNTERS, counters } from './counters.js'
import { descriptorsOf } from './descriptors.js'
import { DOORS } from './doors.js'
import procedure from './procedures.js'
import { randomFrom } from './random.js'
import { ServerThreads } from './server-threads.js'

const [folder, seed] = process.argv.slice(2)
const random = randomFrom(Number(seed))
const report = (text) => process.send({ type: 'failure', text: `87: ${text}` })
const threads = new ServerThreads(random, report)
channel('x.doors.serverThreadFailed').subscribe(({ error }) => report(`a server thread: ${error?.stack}`))
setServerCreation(threads.creation())

const module = new URL('./procedures.js', import.meta.url)
const served = {
  loop: procedure,
  steady: procedure,
  shared: module,
  lent: module,
  private: module,
  bare: procedure,
}
const options = {
  loop: { unref: 'multi', onUnreferenced: () => undefined },
  steady: { cancel: false, cookie: 'steady' },
  shared: {},
  lent: { reuseBuffer: true },
  private: { threads: { min: 2, max: 6, create: threads.creation() }, dataMax: 2 ** 20 },
  bare: { refuseDescriptors: true },
}

/** Their numbers in the core, by which it is asked for what nobody else is told of. */
const numbers = new Map()
const doors = new Map()
const counts = { revoked: 0 }

function make(name, target, given) {
  const { doorOpen } = binding
  binding.doorOpen = (...args) => {
    const number = doorOpen(...args)
    numbers.set(name, number)
    return number
  }
  const door = createDoor(target, given)
  binding.doorOpen = doorOpen
  doors.set(name, door)
}

const attach = (name) => doors.get(name).attach(join(folder, name), { reclaim: true })

/** Its turn, so that the supervisor finds all as it should be between two. */
let turn = Promise.resolve()
const exclusively = (work) => {
  const done = turn.then(work)
  turn = done.catch((error) => report(`the server failed: ${error.stack}`))
  return done
}

async function renew() {
  counts.revoked++
  await doors.get('fleeting').revoke()
  const onThreads = random(2) === 0
  make('fleeting', onThreads ? module : procedure, { publicCookie: onThreads ? 1n : 0n })
  attach('fleeting')
}

let paused = false
async function disturb() {
  while (!ending) {
    await delay(random(600))
    if (paused) continue
    if (random(3) === 0) await exclusively(renew)
    else threads.terminateOne()
  }
}

const stateOf = (name) => ({
  ...doors.get(name).references,
  uniquifier: String(doors.get(name).info().uniquifier),
  sessions: binding.sessionsOf(numbers.get(name)).length,
  running: binding.doorRunning(numbers.get(name)),
})

/** What there is while nobody calls. */
function state() {
  const total = (name) => threads.total(name).living + counted(counters, name)
  return {
    doors: Object.fromEntries(DOORS.map(({ name }) => [name, stateOf(name)])),
    unfinished: {
      procedures: total('begun') - total('ended'),
      waits: total('waits') - total('signals'),
      blocks: total('blocks') - total('blocksEnded'),
    },
    threads: threads.count,
    counts: {
      ...counts,
      ...threads.counts,
      ...Object.fromEntries(
        COUNTERS.map((name) => [name, threads.total(name).all + counted(counters, name)]),
      ),
    },
  }
}

let ending = false
const answers = {
  pause: () => exclusively(() => (paused = true)),
  resume: () => (paused = false),
  collect: async () => {
    globalThis.gc()
    await threads.collect()
  },
  state: () => undefined,
  end: async () => {
    ending = true
    await exclusively(() => Promise.all([...doors.values()].map((door) => door.revoke())))
  },
}

// Nobody outlives the supervisor.
process.on('disconnect', () => process.exit())
process.on('message', async ({ type, id }) => {
  await answers[type]()
  process.send({ type: 'answer', id, state: ending ? undefined : state() })
  if (ending) process.disconnect()
})

for (const [name, target] of Object.entries(served)) make(name, target, options[name])
make('fleeting', procedure, {})
const descriptors = descriptorsOf(process.pid)
for (const { name } of DOORS) attach(name)
process.send({ type: 'ready', descriptors })
await disturb()
