// One measured program: `node subject.js '{"kind":…}'` prints one line of JSON. See bench.js for what it is told.
import { once } from 'node:events'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import findMyWay from 'find-my-way'
import { createRouter } from 'radix3'
import { MountTable, MountTableMember } from '../dist/index.js'
import { Entry } from '../dist/entry.js'
import { Lease } from '../dist/lease.js'
import { ACTIVE, SharedTable, slotWord } from '../dist/shared-table.js'

/** Rounds between two looks at the clock: tens of microseconds. */
const CHUNK = 1000
/** Words of a pair of cache lines. */
const LINE = 32
const ACTIVE_WORD = slotWord(1, ACTIVE)

const handler = { answer: 1 }
const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`)
/** Nanoseconds of all threads of this process. */
const cpu = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

/**
 * Ways to know that a handler is in use. Each makes `run(rounds)`, which acquires and releases so often. Both threads
 * use the same slot. `words` is shared and all 0, but for the word 0, which says that the slot is active.
 */
const ways = {
  none: ({ words }) => {
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) if (words[0] === ACTIVE_WORD) sum += handler.answer
      return sum
    }
  },
  /** The protocol of this package in four lines. */
  raw: ({ words, thread }) => {
    const mine = LINE * (2 + thread)
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) {
        Atomics.add(words, mine, 1)
        if (Atomics.load(words, 0) === ACTIVE_WORD) sum += handler.answer
        Atomics.sub(words, mine, 1)
        if (Atomics.load(words, 0) !== ACTIVE_WORD) throw new Error('nothing drains here')
      }
      return sum
    }
  },
  stripe: ({ shared, thread }) => {
    const stripe = shared.stripe(thread)
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) {
        if (stripe.acquire(0, ACTIVE_WORD)) sum += handler.answer
        stripe.release(0)
      }
      return sum
    }
  },
  lease: ({ shared, thread }) => {
    const stripe = shared.stripe(thread)
    const entry = new Entry({ prefix: '/', host: undefined, slot: 0, generation: 1, spec: 0 }, ACTIVE_WORD, {
      release: ({ slot }) => {
        stripe.release(slot)
      },
    })
    entry.handler = handler
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) {
        if (!stripe.acquire(entry.slot, entry.active)) throw new Error('nothing drains here')
        const lease = new Lease(entry, '/users')
        sum += lease.handler.answer
        lease.release()
      }
      return sum
    }
  },
  /** The seed's: a count of the handler beside its state, and one of the table. Any thread writes them. */
  pair: ({ words }) => {
    const [state, count, total] = [0, 1, LINE]
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) {
        Atomics.add(words, count, 1)
        Atomics.add(words, total, 1)
        if (Atomics.load(words, state) === ACTIVE_WORD) sum += handler.answer
        Atomics.sub(words, total, 1)
        Atomics.sub(words, count, 1)
        if (Atomics.load(words, state) !== ACTIVE_WORD) throw new Error('nothing drains here')
      }
      return sum
    }
  },
  /** The same counts as plain words, each time under a lock that sleeps when it is taken. */
  mutex: ({ words }) => {
    const [state, count, lock, total] = [0, 1, 2, LINE]
    const acquire = () => {
      let seen = Atomics.compareExchange(words, lock, 0, 1)
      if (seen === 0) return
      // 2: somebody may sleep.
      if (seen !== 2) seen = Atomics.exchange(words, lock, 2)
      while (seen !== 0) {
        Atomics.wait(words, lock, 2)
        seen = Atomics.exchange(words, lock, 2)
      }
    }
    const release = () => {
      if (Atomics.exchange(words, lock, 0) === 2) Atomics.notify(words, lock, 1)
    }
    return (rounds) => {
      let sum = 0
      for (let round = 0; round < rounds; round++) {
        acquire()
        if (words[state] === ACTIVE_WORD) sum += handler.answer
        words[count]++
        words[total]++
        release()
        acquire()
        words[count]--
        words[total]--
        release()
      }
      return sum
    }
  },
}

/** `words` of a way, or the table whose words they are. */
function memoryOf(way, threads) {
  // One stripe more than threads: a table of a single one would not be shared.
  const table = SharedTable.create(1, threads + 1)
  if (way === 'stripe' || way === 'lease') {
    table.setWord(0, ACTIVE_WORD)
    return table.buffer
  }
  const words = new Int32Array(new SharedArrayBuffer(4 * LINE * (2 + threads)))
  words[0] = ACTIVE_WORD
  return words.buffer
}

function runnerOf({ way, memory, thread }) {
  const shared = way === 'stripe' || way === 'lease' ? SharedTable.open(memory) : undefined
  return ways[way]({ words: new Int32Array(memory), shared, thread })
}

/** Runs until its time is over; what a round has cost all threads. */
function measure(run, warm, duration, chunksOfOther) {
  let chunks = 0
  const runUntil = (end) => {
    while (performance.now() < end) {
      run(CHUNK)
      chunks++
    }
  }
  const start = performance.now()
  runUntil(start + warm)
  const before = { wall: performance.now(), cpu: cpu(), chunks: chunks + chunksOfOther() }
  runUntil(before.wall + duration)
  const after = { wall: performance.now(), cpu: cpu(), chunks: chunks + chunksOfOther() }
  return {
    rounds: (after.chunks - before.chunks) * CHUNK,
    cpu: after.cpu - before.cpu,
    wall: (after.wall - before.wall) * 1e6,
  }
}

async function count({ way, threads, warm, duration }) {
  const chunks = new Int32Array(new SharedArrayBuffer(4))
  if (way === 'lookup') {
    const table = new MountTable({ members: threads, prepare: (spec) => spec })
    await table.mount('/', handler)
    const handle = table.share()
    const other = threads > 1 ? await startOther({ way, handle, chunks }, handle.transfer) : undefined
    const result = measure(lookupRunner(table), warm, duration, () => Atomics.load(chunks, 0))
    await other?.terminate()
    return result
  }
  const memory = memoryOf(way, threads)
  const other = threads > 1 ? await startOther({ way, memory, thread: 1, chunks }) : undefined
  const run = runnerOf({ way, memory, thread: 0 })
  const result = measure(run, warm, duration, () => Atomics.load(chunks, 0))
  await other?.terminate()
  return result
}

/** The whole of it, through the public face: the one mount is found, leased and given back. */
const lookupRunner = (table) => (rounds) => {
  let sum = 0
  for (let round = 0; round < rounds; round++) {
    const lease = table.lookup('/users')
    sum += lease.handler.answer
    lease.release()
  }
  return sum
}

async function startOther(data, transferList = []) {
  const other = new Worker(new URL(import.meta.url), { workerData: data, transferList })
  await once(other, 'message')
  return other
}

const prefixOf = (index) => `/team${index % 100}/service${index}`

/** `find(path)` of each router, with so many mounts. */
const routers = {
  mounttable: async (mounts) => {
    const table = new MountTable({ slots: mounts, members: 1, prepare: (spec) => spec })
    for (let index = 0; index < mounts; index++) await table.mount(prefixOf(index), index)
    return (path) => {
      const lease = table.lookup(path)
      const found = lease.handler
      lease.release()
      return found
    }
  },
  'find-my-way': (mounts) => {
    const router = findMyWay()
    for (let index = 0; index < mounts; index++) {
      router.on('GET', `${prefixOf(index)}/*`, () => undefined, { index })
    }
    return (path) => router.find('GET', path).store.index
  },
  radix3: (mounts) => {
    const router = createRouter()
    for (let index = 0; index < mounts; index++) router.insert(`${prefixOf(index)}/**`, { index })
    return (path) => router.lookup(path).index
  },
}

async function lookup({ router, mounts, warm, duration }) {
  const find = await routers[router](mounts)
  // Flat in memory, as a string that was read from a socket is.
  const paths = Array.from({ length: mounts }, (_, index) =>
    Buffer.from(`${prefixOf(index)}/users/${index}?page=1`).toString('latin1'),
  )
  for (const [index, path] of paths.entries())
    if (find(path) !== index) throw new Error(`${path} is not found`)
  // A prime step visits all paths in an order that no branch predictor learns.
  let at = 0
  const run = (rounds) => {
    let sum = 0
    for (let round = 0; round < rounds; round++) sum += find(paths[(at = (at + 7919) % mounts)])
    return sum
  }
  return measure(run, warm, duration, () => 0)
}

/** Milliseconds of each of `times` calls. */
async function timed(times, call) {
  const walls = []
  const before = cpu()
  for (let index = 0; index < times; index++) {
    const start = performance.now()
    await call(index)
    walls.push(performance.now() - start)
  }
  return { walls, cpu: (cpu() - before) / times / 1e6 }
}

async function publish({ workers, mounts, times }) {
  const table = new MountTable({
    slots: mounts + 2 * times,
    members: Math.max(workers, 1),
    prepare: (spec) => spec,
  })
  for (let index = 0; index < mounts; index++) await table.mount(prefixOf(index), index)
  const others = []
  const join = await timed(workers, async () => {
    const handle = table.share()
    others.push(await startOther({ handle }, handle.transfer))
  })
  const mount = await timed(times, (index) => table.mount(`/new${index}/service`, index))
  const replace = await timed(times, (index) => table.replace(prefixOf(index), index))
  const unmount = await timed(times, (index) => table.unmount(`/new${index}/service`))
  for (const other of others) await other.terminate()
  return { mount, replace, unmount, join }
}

async function beOther({ way, memory, handle, thread, chunks }) {
  let run
  if (handle === undefined) run = runnerOf({ way, memory, thread })
  else {
    const member = await MountTableMember.attach(handle, { prepare: (spec) => spec })
    run = lookupRunner(member)
  }
  parentPort.postMessage('ready')
  if (way === undefined) {
    // It waits for what is published.
    parentPort.on('message', () => undefined)
    return
  }
  for (;;) {
    run(CHUNK)
    Atomics.add(chunks, 0, 1)
  }
}

if (isMainThread) {
  const options = JSON.parse(process.argv[2])
  print(await { count, lookup, publish }[options.kind](options))
} else await beOther(workerData)
