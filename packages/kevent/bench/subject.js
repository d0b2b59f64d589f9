// One measured program: `node subject.js '{"kind":…}'` prints one line of JSON. See bench.js for what it is told.
import { readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { Worker, isMainThread, workerData } from 'node:worker_threads'
import {
  EV_ADD,
  EV_DISPATCH,
  EV_ENABLE,
  EV_FORCEONESHOT,
  EV_KEEPUDATA,
  EVFILT_READ,
  EVFILT_USER,
  KEventList,
  KQueue,
  NOTE_DRAINED,
  NOTE_NODATA,
} from '../dist/index.js'

const require = createRequire(import.meta.url)
/** @type {{ echo(records: Uint8Array, count: number): number, stamp(fd: number): number, now(): number, heap(): number, open(count: number, pairs: boolean): number[] }} */
const io = require('./build/io.node')

/** Descriptors as in epoll.c: 64 that are always ready, or 64 pairs. */
const COUNT = 64
const APART = 16
const SLOW = 20e6
const WARM_UP = 100
/** The first of the descriptors that bring stamps. */
const FIRST = 3

/** fflags of the knote, and of the EV_ENABLE that gives it back. */
const notes = {
  data: [0, 0],
  nodata: [NOTE_NODATA, NOTE_NODATA],
  drained: [NOTE_NODATA, NOTE_NODATA | NOTE_DRAINED],
}

const median = (values, part = 0.5) => values.sort((a, b) => a - b)[Math.floor(values.length * part)] ?? NaN
const print = (result) => process.stdout.write(`${JSON.stringify(result)}\n`)
const cpu = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}

const addAll = (kq, descriptors, note) => {
  const changes = new KEventList(descriptors.length)
  for (const [index, descriptor] of descriptors.entries()) {
    changes.set(index, descriptor, EVFILT_READ, EV_ADD | EV_DISPATCH, note)
  }
  kq.keventList(changes, descriptors.length, null, 0)
}

const giveBack = (list, count, note) => {
  for (let index = 0; index < count; index++) {
    list.set(index, list.ident(index), EVFILT_READ, EV_ENABLE, note)
  }
}

/** Calls `handle(list, count)` with every batch, in a loop of its own or in the event loop. */
const serve = (kq, { mode, batch }, list, handle) => {
  if (mode === 'loop') {
    kq.consume({ changes: list, events: list }, (count) => handle(list, count))
    return
  }
  for (let changes = 0; ;) changes = handle(list, kq.keventList(list, changes, list, batch))
}

const load = () => {
  const { options, handle, counts, number } = workerData
  const enable = notes[options.notes][1]
  const pingpong = options.workload === 'pingpong'
  serve(KQueue.attach(handle), options, new KEventList(options.batch), (list, count) => {
    // With NOTE_NODATA an event may come for what an earlier read has taken already: it does not count.
    const empty = pingpong ? io.echo(list.bytes, count) : 0
    giveBack(list, count, enable)
    counts[number * APART] += count - empty
    return count
  })
}

const stamps = () => {
  const { options, handle, counts, latencies } = workerData
  serve(KQueue.attach(handle), options, new KEventList(options.batch), (list, count) => {
    for (let index = 0; index < count; index++) {
      const latency = io.stamp(list.ident(index))
      if (latency === -2) return 0 // the driver has gone
      if (latency === -1) for (const end = io.now() + SLOW; io.now() < end;);
      else latencies[Atomics.add(counts, 0, 1)] = latency
    }
    giveBack(list, count, NOTE_NODATA)
    return count
  })
}

const forced = () => {
  const { handle, counts, latencies } = workerData
  const kq = KQueue.attach(handle)
  const list = new KEventList(1)
  for (;;) {
    kq.keventList(null, 0, list, 1)
    latencies[Atomics.load(counts, 0)] = io.now()
    Atomics.add(counts, 0, 1)
    Atomics.notify(counts, 0)
  }
}

const shared = (options) => ({
  options,
  counts: new Int32Array(new SharedArrayBuffer(options.workers * APART * 4)),
  latencies: new Float64Array(new SharedArrayBuffer(100_000 * 8)),
})
const start = (kq, memory, number = 0) =>
  new Worker(new URL(import.meta.url), { workerData: { ...memory, handle: kq.share(), number } })

const measure = async (events, { warm, duration }) => {
  await pause(warm)
  const before = { events: events(), cpu: cpu(), wall: io.now() }
  await pause(duration)
  print({ events: events() - before.events, cpu: cpu() - before.cpu, wall: io.now() - before.wall })
}

/** Until every thread has slept, and served its share of stamps of ours: what starts is not measured. */
const warmUp = async (kq, { options, counts }) => {
  const [reader, writer] = io.open(1, true)
  addAll(kq, [reader], NOTE_NODATA)
  while (kq.counters().slept < options.workers) await pause(1)
  const stamp = Buffer.alloc(8)
  for (let sent = 1; sent <= WARM_UP * options.workers; sent++) {
    stamp.writeBigInt64LE(BigInt(io.now()) & ~1n)
    writeSync(writer, stamp)
    while (Atomics.load(counts, 0) < sent) await pause(1)
  }
  kq.detach(reader)
  await pause(options.warm)
  counts[0] = 0
}

const kinds = {
  async load(options) {
    const kq = new KQueue()
    addAll(kq, io.open(COUNT, options.workload === 'pingpong'), notes[options.notes][0])
    const memory = shared(options)
    for (let number = 0; number < options.workers; number++) start(kq, memory, number)
    await measure(() => memory.counts.reduce((sum, count) => sum + count, 0), options)
  },

  async socket(options) {
    let events = 0
    for (const fd of io.open(COUNT, true)) {
      const socket = new Socket({ fd })
      socket.on('data', (chunk) => {
        events++
        socket.write(chunk)
      })
    }
    await measure(() => events, options)
  },

  async npm(options) {
    const { Epoll } = require('epoll')
    const records = new KEventList(1)
    let events = 0
    const poller = new Epoll((error, fd) => {
      if (error !== null) throw error
      records.set(0, fd, EVFILT_READ, 0)
      io.echo(records.bytes, 1)
      events++
      poller.modify(fd, Epoll.EPOLLIN | Epoll.EPOLLONESHOT)
    })
    for (const fd of io.open(COUNT, true)) poller.add(fd, Epoll.EPOLLIN | Epoll.EPOLLONESHOT)
    await measure(() => events, options)
  },

  // Until its standard input ends: by then the driver has written all stamps.
  async wake(options) {
    const kq = new KQueue()
    const memory = shared(options)
    const descriptors = Array.from({ length: options.descriptors }, (_, index) => FIRST + index)
    for (let number = 0; number < options.workers; number++) start(kq, memory, number)
    await warmUp(kq, memory)
    const before = cpu()
    addAll(kq, descriptors, NOTE_NODATA)
    process.stdout.write('ready\n')
    process.stdin.resume()
    await new Promise((resolve) => process.stdin.once('end', resolve))
    const latencies = [...memory.latencies.subarray(0, memory.counts[0])]
    print({ cpu: cpu() - before, latencies })
  },

  async memory({ descriptors }) {
    const opened = io.open(descriptors, false)
    const list = new KEventList(1024)
    const kq = new KQueue()
    addAll(kq, opened.slice(0, 1), NOTE_NODATA)
    const slab = () =>
      readFileSync('/proc/slabinfo', 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('eventpoll'))
        .map((line) => line.split(/\s+/).map(Number))
        .reduce((sum, [, active = 0, , size = 0]) => sum + active * size, 0)
    slab()
    const before = { user: io.heap(), slab: slab(), cpu: cpu() }
    for (let at = 1; at < opened.length;) {
      let count = 0
      while (count < list.capacity && at < opened.length) {
        list.set(count++, opened[at++], EVFILT_READ, EV_ADD | EV_DISPATCH, NOTE_NODATA)
      }
      kq.keventList(list, count, null, 0)
    }
    const added = cpu() - before.cpu
    print({
      user: (io.heap() - before.user) / opened.length,
      slab: (slab() - before.slab) / opened.length,
      add: added / opened.length,
    })
  },

  // From Worker.terminate() to its end, of a thread that waits.
  async terminate({ mode, rounds }) {
    const took = []
    for (let round = 0; round < rounds; round++) {
      const kq = new KQueue()
      const worker = start(
        kq,
        shared({ kind: 'load', workload: 'deliver', mode, notes: 'nodata', batch: 1, workers: 1 }),
      )
      while (kq.counters().slept === 0) await pause(1)
      await pause(5)
      const before = io.now()
      await worker.terminate()
      took.push((io.now() - before) / 1e6)
      kq.close()
    }
    print({ p50: median(took), most: Math.max(...took) })
  },

  // What EV_FORCEONESHOT costs its caller: knotes in other threads' hands, by 64 and by one; a sleeper woken.
  async force({ rounds }) {
    const kq = new KQueue()
    const opened = io.open(COUNT, false)
    const list = new KEventList(COUNT)
    addAll(kq, opened, NOTE_NODATA)
    kq.keventList(null, 0, list, COUNT, 0)
    const force = EV_FORCEONESHOT | EV_KEEPUDATA
    for (const [index, fd] of opened.entries()) list.set(index, fd, EVFILT_READ, force)
    const timed = (count) => {
      const costs = []
      for (let round = 0; round < rounds; round++) {
        const before = io.now()
        kq.keventList(list, count, null, 0)
        costs.push((io.now() - before) / count)
      }
      return median(costs)
    }
    const result = { batch: timed(COUNT), one: timed(1) }
    const other = new KQueue()
    const memory = shared({ workers: 1 })
    start(other, memory)
    await pause(200)
    const calls = []
    const wakes = []
    for (let round = 0; round < rounds; round++) {
      list.set(0, round, EVFILT_USER, EV_ADD)
      other.keventList(list, 1, null, 0)
      list.set(0, round, EVFILT_USER, force)
      await pause(1)
      const before = io.now()
      other.keventList(list, 1, null, 0)
      calls.push(io.now() - before)
      Atomics.wait(memory.counts, 0, round, 1000)
      wakes.push(memory.latencies[round] - before)
    }
    print({ ...result, call: median(calls), p50: median(wakes), p99: median(wakes, 0.99) })
  },
}

if (isMainThread) {
  const options = JSON.parse(process.argv[2])
  await kinds[options.kind](options)
  process.exit(0)
} else {
  ;({ load, wake: stamps, force: forced })[workerData.options.kind ?? 'force']()
}
