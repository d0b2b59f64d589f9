/** A client: opens the doors, calls them in all ways, and stands still when it is told to. */
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { join } from 'node:path'
import { DoorClient, openDoor, openDoorSync } from '@x/doors'
import { FdSocket } from '@x/fdpass'
import { chooseCall, chooseDoor, chooseWay } from './choices.js'
import { Calls, chooseRoom } from './client-calls.js'
import { DOORS } from './doors.js'
import { randomFrom } from './random.js'

const { folder, client: me, seed, words } = workerData
const random = randomFrom(seed)
const counts = {
  calls: 0,
  answers: 0,
  refusals: 0,
  givenUp: 0,
  bytes: 0,
  files: 0,
  sentFiles: 0,
  opens: 0,
  closes: 0,
}
counts.errors = {}
counts.ways = {}
const post = (message) => parentPort.postMessage(message)
const fail = (text) => post({ type: 'failure', text: `${text} (client ${me})` })
/** The door of a call has gone: it is opened again. */
let gone = false
const suspect = (error) => {
  gone ||= error.code === 'EBADF'
  post({ type: 'suspect', error })
}
const calls = new Calls(counts, fail, suspect)

/** By name. */
const open = new Map()
let count = 0

async function openAnother(name) {
  const path = join(folder, name)
  const options = { sharedMemory: random(2) === 0 }
  const begun = Date.now()
  try {
    const client = random(2) === 0 ? await openDoor(path, options) : openDoorSync(path, options)
    counts.opens++
    return client
  } catch (error) {
    const { code } = error
    counts.errors[`open ${code}`] = (counts.errors[`open ${code}`] ?? 0) + 1
    if (code === 'ENOENT' || code === 'EBADF')
      suspect({ begun, ended: Date.now(), code, door: name, server: 0 })
    else fail(`86: ${name} does not open: ${error.stack}`)
    await delay(random(30))
    return undefined
  }
}

/** Now and then a client is closed, another takes a copy of its descriptor, or one is opened beside. */
async function clientOf({ name }) {
  const mine = open.get(name)
  if (mine === undefined) {
    const client = await openAnother(name)
    if (client !== undefined) open.set(name, client)
    return client
  }
  if (random(30) !== 0) return mine
  let next
  if (random(2) === 0) next = await openAnother(name)
  else next = copyOf(name, mine)
  mine.close()
  counts.closes++
  if (next === undefined) open.delete(name)
  else open.set(name, next)
  return next
}

/** The same open, in other hands; undefined when its door has gone. */
function copyOf(name, client) {
  const [one, other] = FdSocket.pair({ type: 'seqpacket' })
  one.sendSync('door', [client.fd])
  const [copy] = other.recvSync().claim()
  one.close()
  other.close()
  try {
    return DoorClient.from(copy, { sharedMemory: random(2) === 0 })
  } catch (error) {
    suspect({
      begun: Date.now(),
      ended: Date.now(),
      code: error.code,
      door: name,
      server: client.info().target,
    })
    return undefined
  }
}

const forget = (name, client) => {
  client.close()
  if (open.get(name) === client) open.delete(name)
}

async function callMany(client, door, way) {
  const many = random(4) === 0 ? 2 + random(7) : 1
  const choices = Array.from({ length: many }, () => ({
    ...chooseCall(random, me, ++count, door, many > 1),
    way,
  }))
  const closes = random(60) === 0
  if (closes) for (const choice of choices) choice.closed = true
  const all = Promise.all(choices.map((choice) => calls.call(client, choice)))
  if (closes) {
    await delay(random(3))
    forget(door.name, client)
  }
  await all
  return choices.length
}

const choiceOf = (door, way) => ({ ...chooseCall(random, me, ++count, door, false), way })

/** What it does now, for whoever finds that it hangs. */
function announce(door, way) {
  words[1] = DOORS.indexOf(door)
  words[2] = ['call', 'callSync', 'callInto'].indexOf(way)
  Atomics.add(words, 0, 1)
}

async function act() {
  const door = chooseDoor(random)
  announce(door, 'open')
  const client = await clientOf(door)
  if (client === undefined) return
  const way = chooseWay(random)
  announce(door, way)
  gone = false
  if (way === 'call') counts.calls += await callMany(client, door, way)
  else {
    const choice = choiceOf(door, way)
    if (way === 'callSync') await calls.callSync(client, choice)
    else await calls.callInto(client, choice, chooseRoom(random, choice))
    counts.calls++
  }
  counts.ways[way] = (counts.ways[way] ?? 0) + 1
  if (gone) forget(door.name, client)
}

/** It begins when it is told to. */
let wanted = 'letGo'
let told = () => undefined
parentPort.on('message', (message) => {
  wanted = message
  told()
})

/** Stands still, with what is open, or without. */
async function standStill() {
  announce(undefined, wanted)
  if (wanted !== 'hold') {
    for (const [name, client] of open) forget(name, client)
    globalThis.gc()
  }
  const opens = [...open.values()].map((client) => String(client.info().uniquifier))
  const was = wanted
  const next = new Promise((resolve) => (told = resolve))
  post({ type: 'still', how: was, opens, counts })
  await next
}

post({ type: 'ready' })
while (wanted !== 'end') {
  if (wanted === 'run') {
    Atomics.store(words, 3, 1)
    await act()
    Atomics.store(words, 3, 0)
    await setImmediate()
  } else await standStill()
}
for (const client of open.values()) client.close()
post({ type: 'ended', how: 'end', counts })
parentPort.close()
