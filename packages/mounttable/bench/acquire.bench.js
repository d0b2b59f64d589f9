/**
 * Nanoseconds of acquire and release, alone and beside a second thread that does the same at the same slot: each in
 * a stripe of its own, or both in one, which is what a single count is. Then lookup with release, against
 * find-my-way's find of the same paths in the same run.
 */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { once } from 'node:events'
import findMyWay from 'find-my-way'
import { bench, do_not_optimize, group, run } from 'mitata'
import { MountTable } from '../dist/index.js'
import { ACTIVE, SharedTable, slotWord } from '../dist/shared-table.js'

/** About 30 microseconds: far less than the scheduler's time slice. */
const ROUNDS = 1000
const CHUNKS = 2000

/** Nanoseconds a round of acquire and release in this thread, for so many rounds. */
function measure(stripe, active) {
  const start = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    stripe.acquire(0, active)
    stripe.release(0)
  }
  return ((performance.now() - start) * 1e6) / ROUNDS
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1]

const prefixOf = (index) => `/team${index % 100}/service${index}`

async function lookups() {
  for (const count of [10, 100, 1000, 10_000]) {
    const table = new MountTable({ slots: count, prepare: (spec) => spec })
    const router = findMyWay()
    const paths = []
    for (let index = 0; index < count; index++) {
      await table.mount(prefixOf(index), index)
      router.on('GET', `${prefixOf(index)}/*`, () => index)
      // Flat in memory, as a string that was read from a socket is.
      paths.push(Buffer.from(`${prefixOf(index)}/users/${index}?page=1`).toString('latin1'))
    }
    // A prime step visits all paths in an order that no branch predictor learns.
    let at = 0
    const next = () => paths[(at = (at + 7919) % count)]
    group(`${count} mounts`, () => {
      bench('@x/mounttable lookup + release', () => {
        table.lookup(next()).release()
      })
      bench('find-my-way find', () => do_not_optimize(router.find('GET', next())))
    })
  }
  const { benchmarks, layout } = await run({ format: 'quiet' })
  for (const { alias, group: index, runs } of benchmarks) {
    console.log(`${layout[index].name}: ${alias} ${runs[0].stats.p50.toFixed(0)} ns (median)`)
  }
}

async function contended(name, otherStripe) {
  const table = SharedTable.create(1, 2)
  const active = slotWord(1, ACTIVE)
  table.setWord(0, active)
  const stripe = table.stripe(0)
  const alone = median(Array.from({ length: CHUNKS }, () => measure(stripe, active)))
  const chunks = new Int32Array(new SharedArrayBuffer(4))
  const other = new Worker(new URL(import.meta.url), {
    workerData: { buffer: table.buffer, otherStripe, chunks },
  })
  await once(other, 'message')
  const together = []
  // Only chunks count during which the other thread got about as far: else one of the two had no processor.
  while (together.length < CHUNKS) {
    const before = Atomics.load(chunks, 0)
    const first = measure(stripe, active)
    const second = measure(stripe, active)
    const progress = Atomics.load(chunks, 0) - before
    if (progress >= 1 && progress <= 4) together.push((first + second) / 2)
  }
  await other.terminate()
  const beside = median(together)
  console.log(
    `acquire + release, ${name}: ${alone.toFixed(1)} ns alone, ${beside.toFixed(1)} ns beside another`,
  )
}

if (isMainThread) {
  await contended('a stripe each', 1)
  await contended('one count', 0)
  await lookups()
} else {
  const { buffer, otherStripe, chunks } = workerData
  const table = SharedTable.open(buffer)
  const stripe = table.stripe(otherStripe)
  parentPort.postMessage('running')
  for (;;) {
    measure(stripe, table.word(0))
    Atomics.add(chunks, 0, 1)
  }
}
