/**
 * Clients of the stress: node client.js FOLDER SEED NUMBER, with an IPC channel to the supervisor. Four threads call; now
 * and then one is terminated, wherever it is, and another takes its place.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { descriptorsOf } from './descriptors.js'
import { DOORS } from './doors.js'
import { randomFrom } from './random.js'

const [folder, seed, number] = process.argv.slice(2)
const random = randomFrom(Number(seed))
const THREADS = 4
/** How long anything may take, in milliseconds. */
const LONGEST = 15_000
const report = (text) => process.send({ type: 'failure', text })

let started = 0
let terminated = 0
const seats = new Map()

function start(seat) {
  const words = new Int32Array(new SharedArrayBuffer(16))
  const client = Number(number) * 4096 + ++started
  const worker = new Worker(new URL('./client-thread.js', import.meta.url), {
    workerData: { folder, client, seed: random(2 ** 30), words },
  })
  const member = {
    worker,
    client,
    words,
    dying: false,
    still: () => undefined,
    seen: 0,
    since: performance.now(),
  }
  member.ready = new Promise((resolve) => (member.isReady = resolve))
  member.gone = new Promise((resolve) => {
    worker.once('exit', () => {
      if (seats.get(seat) === member) seats.delete(seat)
      if (!member.dying) report(`86: client ${client} has ended`)
      resolve()
    })
  })
  worker.on('error', (error) => report(`86: client ${client} failed: ${error.stack}`))
  worker.on('message', (message) => {
    if (message.type === 'ready') member.isReady()
    else if (message.type === 'still' || message.type === 'ended') member.still(message)
    else process.send(message)
  })
  seats.set(seat, member)
  return Promise.race([member.ready, member.gone])
}

/** Standstills and terminations take turns. */
let turn = Promise.resolve()
const exclusively = (work) => (turn = turn.then(work))

async function replaceOne() {
  const seat = random(THREADS)
  const member = seats.get(seat)
  terminated++
  member.dying = true
  await member.worker.terminate()
  await start(seat)
  seats.get(seat)?.worker.postMessage('run')
}

/** What the threads say when all of them have come to it. */
const tellAll = (how) =>
  Promise.all(
    [...seats.values()].map(
      (member) =>
        new Promise((resolve) => {
          // Not of how it stood before.
          member.still = (said) => {
            if (said.how === how) resolve(said)
          }
          if (how === 'end') member.dying = true
          member.worker.postMessage(how)
        }),
    ),
  )

let paused = false
async function disturb() {
  while (!ending) {
    await delay(random(3000))
    if (!paused && !ending) await exclusively(replaceOne)
  }
}

/** A client that does not come to an end of what it does. */
const watchdog = setInterval(() => {
  const now = performance.now()
  for (const member of seats.values()) {
    const [turns, door, way, busy] = member.words
    if (turns !== member.seen || busy === 0) {
      member.seen = turns
      member.since = now
    } else if (now - member.since > LONGEST && !member.hangs) {
      member.hangs = true
      report(`83: client ${member.client} of ${process.pid} hangs in way ${way} of ${DOORS[door]?.name}`)
    }
  }
}, 500)

let ending = false
async function stand(how) {
  paused = true
  ending = how === 'end'
  const said = await tellAll(how)
  if (how !== 'hold') globalThis.gc()
  return { opens: said.flatMap(({ opens = [] }) => opens), counts: said.map(({ counts }) => counts) }
}

// Nobody outlives the supervisor.
process.on('disconnect', () => process.exit())
process.on('message', async ({ type, id }) => {
  let state = {}
  if (type === 'run') {
    for (const { worker } of seats.values()) worker.postMessage('run')
    paused = false
  } else state = await exclusively(() => stand(type))
  process.send({ type: 'answer', id, state: { ...state, started, terminated } })
  if (!ending) return
  clearInterval(watchdog)
  process.disconnect()
})

await Promise.all(Array.from({ length: THREADS }, (_, seat) => start(seat)))
process.send({ type: 'ready', descriptors: descriptorsOf(process.pid) })
await disturb()
