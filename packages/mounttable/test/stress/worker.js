/** A worker of the stress. It looks up until it is terminated, ends by itself in the middle, or is told to leave. */
import { setImmediate, setTimeout as delay } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { MountTableMember } from '@x/mounttable'
import { Looker } from './looker.js'
import { LET_GO, PAUSE, RUN, heapLimit, randomFrom } from './shadow.js'

const { table, thread, shadow, reads, period, seed } = workerData
const random = randomFrom(seed)
const { words, dying } = shadow

const exit = () => {
  Atomics.store(dying, thread, 1)
  process.exit(0)
}

const prepareLate = async (spec, mount) => {
  for (let turn = 0; turn < spec.turns; turn++) await setImmediate()
  if (spec.failIn === table.id) throw new Error('this spec does not load here')
  if (spec.exitIn === table.id) exit()
  if (spec.killIn === table.id) {
    parentPort.postMessage({ type: 'kill' })
    // It is terminated while it prepares.
    await new Promise(() => undefined)
  }
  return looker.handlerOf(mount)
}

const prepare = (spec, mount) => (spec.turns === 0 ? looker.handlerOf(mount) : prepareLate(spec, mount))

const looker = new Looker({
  lookup: (target, host) => member.lookup(target, host),
  thread,
  shadow,
  reads,
  period,
  random,
})

const standStill = () => {
  const how = Atomics.load(words, PAUSE)
  if (how === RUN) return
  if (how === LET_GO) looker.letGo()
  parentPort.postMessage({ type: 'paused' })
  Atomics.wait(words, PAUSE, how)
}

let leaving = false
let exitsIn = 0
parentPort.on('message', (message) => {
  if (message.type === 'leave') leaving = true
  else exitsIn = message.lookups
})

const member = await MountTableMember.attach(table, {
  prepare,
  dispose: (handler) => {
    looker.dispose(handler)
  },
  deadline: 20_000,
})
parentPort.postMessage({ type: 'attached', heapLimit: heapLimit() })
while (!leaving) {
  standStill()
  looker.turn(exitsIn > 0 ? exitsIn : 50 + random(300))
  if (exitsIn > 0) exit()
  // A rest now and then leaves the processors to those who change the table.
  if (random(8) === 0) await delay(1)
  else await setImmediate()
}
member.close()
// The leases outlive the membership by a turn.
await setImmediate()
looker.letGo()
parentPort.close()
