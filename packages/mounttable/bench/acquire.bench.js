/**
 * Nanoseconds of a lookup with its release, and of acquire and release alone, against find-my-way's lookup of the
 * same paths in the same run; then acquire and release with a second thread doing the same at the same slot.
 */
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { once } from 'node:events'
import findMyWay from 'find-my-way'
import { bench, do_not_optimize, group, run } from 'mitata'
import { MountTable } from '../dist/index.js'
import { ACTIVE, SharedTable, slotWord } from '../dist/shared-table.js'

const ROUNDS = 20_000_000

/** Nanoseconds a round of acquire and release in this thread. */
function measure(stripe, active) {
  const start = performance.now()
  for (let round = 0; round < ROUNDS; round++) {
    stripe.acquire(0, active)
    stripe.release(0)
  }
  return ((performance.now() - start) * 1e6) / ROUNDS
}

const prefixOf = (index) => `/team${index % 100}/service${index}`

async function lookups() {
  for (const count of [10, 100, 1000, 10_000]) {
    const table = new MountTable({ slots: count, prepare: (spec) => spec })
    const router = findMyWay()
    const paths = []
    for (let index = 0; index < count; index++) {
      await table.mount(prefixOf(index), index)
      router.on('GET', `${prefixOf(index)}/*`, () => index)
      paths.push(`${prefixOf(index)}/users/${index}?page=1`)
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
  await run()
}

async function contended() {
  const table = SharedTable.create(1, 2)
  const active = slotWord(1, ACTIVE)
  table.setWord(0, active)
  const stripe = table.stripe(0)
  measure(stripe, active)
  const alone = measure(stripe, active)
  const other = new Worker(new URL(import.meta.url), { workerData: table.buffer })
  await once(other, 'message')
  const together = measure(stripe, active)
  await other.terminate()
  console.log(`acquire + release: ${alone.toFixed(1)} ns alone, ${together.toFixed(1)} ns beside a second thread`)
}

if (isMainThread) {
  await contended()
  await lookups()
} else {
  const table = SharedTable.open(workerData)
  parentPort.postMessage('running')
  for (;;) measure(table.stripe(1), table.word(0))
}
