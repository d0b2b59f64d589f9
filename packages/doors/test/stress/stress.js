/**
 * node stress.js [--seconds N] [--seed N]
 *
 * 16 clients in 4 processes call the doors of a server in all ways, while clients are terminated and killed, threads of
 * the server are terminated, a door is revoked again and again, and the server is killed and started again. Prints one
 * line of JSON: counts, and what did not hold, by the number of the case in the reference. It lasts X_STRESS_SECONDS (3).
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { DOORS } from './doors.js'
import { Program } from './program.js'
import { randomFrom } from './random.js'
import { Tally } from './tally.js'

const { values: given } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env.X_STRESS_SECONDS ?? '3' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 30) },
  },
})
const seconds = Number(given.seconds)
const seed = Number(given.seed)
const random = randomFrom(seed)

const PROCESSES = 4
/** Milliseconds in which what was let go of has gone. */
const PATIENCE = 5000
/** And in which anything has happened. */
const LONGEST = 20_000
/** What the memory of a server may grow by after its first quiet moment, and by each thread more, in MiB. */
const GROWTH = { server: 128, thread: 40 }

const folder = mkdtempSync(join(tmpdir(), 'doors-stress-'))
const failures = []
const fail = (text) => failures.push(text)
const tally = new Tally(fail)
const told = (message) => {
  if (message.type === 'failure') fail(message.text)
  else tally.suspect(message.error)
}
/** Nothing can be said of what comes after it. */
const ended = (text) => {
  fail(`86: ${text}`)
  print()
  process.exit(1)
}

let phase = 'start'
let since = performance.now()
/** The longest of each phase, in milliseconds. */
const longest = {}

function enter(next) {
  const now = performance.now()
  const kind = phase.replace(/ \d+$/, '')
  longest[kind] = Math.max(longest[kind] ?? 0, Math.round(now - since))
  phase = next
  since = now
}

let server
const clients = []
let started = 0
const counts = { clientsKilled: 0, serversKilled: 0, quietMoments: 0 }

async function startServer() {
  server = new Program('server.js', [folder, random(2 ** 30)], told, ended)
  tally.serves(server)
  server.baseline = await server.ready
  server.served = Date.now()
}

async function startClient(seat) {
  const client = new Program('client.js', [folder, random(2 ** 30), ++started], told, ended)
  clients[seat] = client
  client.baseline = await client.ready
}

async function killClient() {
  counts.clientsKilled++
  const seat = random(PROCESSES)
  await clients[seat].kill()
  await startClient(seat)
  await clients[seat].ask('run')
}

async function killServer() {
  counts.serversKilled++
  await server.kill()
  await delay(random(50))
  await startServer()
}

/** Asks until there is nothing to complain of, or patience is over. */
async function eventually(complaintsOf) {
  const end = performance.now() + PATIENCE
  for (;;) {
    const complaints = await complaintsOf()
    if (complaints.length === 0) return
    if (performance.now() > end) {
      for (const complaint of complaints) fail(complaint)
      return
    }
    await delay(10)
  }
}

const unfinished = (state) =>
  Object.entries(state.unfinished)
    .filter(([, number]) => number !== 0)
    .map(([name, number]) => `81: at a quiet moment ${number} ${name} have not ended`)

/** Cases 81 and 113, while everybody stands still with what is open. */
async function compareReferences(opens) {
  await eventually(async () => {
    const state = await server.ask('state')
    const complaints = unfinished(state)
    for (const [name, { own, names, opens: found, total, running, uniquifier }] of Object.entries(
      state.doors,
    )) {
      const right = opens.filter((open) => open === uniquifier).length
      const told = `${name} has ${own} + ${names} + ${found} = ${total} references`
      if (own !== 1 || names !== 1 || found !== right || total !== 2 + right)
        complaints.push(`113: ${told}, and ${right} opens`)
      if (running !== 0) complaints.push(`81: ${name} runs ${running} calls`)
    }
    return complaints
  })
}

/** What there is more of than at first, or less. */
const left = (who, found, expected) =>
  Object.keys({ ...found, ...expected })
    .filter((kind) => (found[kind] ?? 0) !== (expected[kind] ?? 0))
    .map((kind) => `46: ${who} has ${found[kind] ?? 0} of ${kind}, and had ${expected[kind] ?? 0}`)

/** Case 46, while everybody stands still and has let go. */
async function compareDescriptors() {
  await eventually(async () => {
    const { doors } = await server.ask('state')
    const complaints = Object.entries(doors)
      .filter(([, { opens, sessions }]) => opens + sessions > 0)
      .map(([name, { opens, sessions }]) => `46: ${name} has ${opens} opens and ${sessions} sessions`)
    const { baseline } = server
    const paths = DOORS.length
    // A name is a listening socket, and its inode.
    const expected = { ...baseline, socket: baseline.socket + paths }
    for (const { name } of DOORS) expected[join(folder, name)] = 1
    complaints.push(...left('the server', server.descriptors, expected))
    for (const client of clients)
      complaints.push(...left(`client ${client.pid}`, client.descriptors, client.baseline))
    return complaints
  })
}

function compareMemory({ threads }) {
  const now = { resident: server.resident, threads }
  server.first ??= now
  server.last = now
  const more = Math.max(0, threads - server.first.threads)
  if (now.resident > server.first.resident + GROWTH.server + more * GROWTH.thread)
    fail(`46: the server has grown from ${JSON.stringify(server.first)} to ${JSON.stringify(now)}`)
}

async function quiet() {
  counts.quietMoments++
  enter('hold')
  const still = await Promise.all(clients.map((client) => client.ask('hold')))
  enter('pause')
  await server.ask('pause')
  enter('references')
  await compareReferences(still.flatMap(({ opens }) => opens))
  enter('letGo')
  const empty = await Promise.all(clients.map((client) => client.ask('letGo')))
  await server.ask('collect')
  enter('descriptors')
  await compareDescriptors()
  const state = await server.ask('state')
  compareMemory(state)
  tally.clients(clients, empty)
  tally.server(server, state)
  enter('going on')
}

async function goOn() {
  await server.ask('resume')
  await Promise.all(clients.map((client) => client.ask('run')))
}

/** A round ends with a quiet moment; in its middle somebody is killed. */
async function round(number, milliseconds, isEarly) {
  enter(`round ${number}`)
  await goOn()
  const before = random(milliseconds)
  await delay(before)
  if (isEarly && number % 3 === 1) await killServer()
  else if (number % 3 === 2 || random(2) === 0) await killClient()
  await delay(milliseconds - before)
  await quiet()
}

async function finish() {
  enter('the end')
  await Promise.all(clients.map((client) => client.end()))
  await server.end()
  const names = readdirSync(folder)
  if (names.length > 0) fail(`86: there are names left: ${names.join(' ')}`)
}

function print() {
  const elapsed = Math.round(performance.now() / 100) / 10
  const report = {
    seconds,
    seed,
    elapsed,
    ...counts,
    longest,
    ...tally.report(),
    failures: failures.slice(0, 40),
  }
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.exitCode = failures.length > 0 ? 1 : 0
}

const watchdog = setInterval(() => {
  if (performance.now() - since > LONGEST) void giveUp()
}, 1000)

/** A run that stands still longer than anything may last will never end: it says what it knows, and ends here. */
async function giveUp() {
  clearInterval(watchdog)
  const silent = [server, ...clients].filter(({ waiting }) => waiting.length > 0)
  fail(
    `83: it hangs in ${phase}; ${silent.map(({ pid, waiting }) => `${pid} was asked ${waiting.join()}`).join('; ')}`,
  )
  fail(`83: the server is ${JSON.stringify(await Promise.race([server.ask('state'), delay(2000)]))}`)
  print()
  process.exit(1)
}

await startServer()
await Promise.all(Array.from({ length: PROCESSES }, (_, seat) => startClient(seat)))
const ROUNDS = Math.max(3, Math.round(seconds / 3))
for (let number = 1; number <= ROUNDS && failures.length < 20; number++)
  await round(number, (seconds * 1000) / ROUNDS, number <= Math.max(3, ROUNDS / 2))
await finish()
tally.conclude()
clearInterval(watchdog)
rmSync(folder, { recursive: true })
print()
