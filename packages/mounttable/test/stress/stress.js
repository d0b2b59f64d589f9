/**
 * Lookups in three workers, while mounts are replaced, unmounted and mounted again and workers are terminated at
 * random. Prints one line of JSON; `failures` names the invariants of the reference (69 to 74) that did not hold.
 * STRESS_SECONDS says how long it runs; STRESS_SEED repeats its choices.
 */
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { MountTable, MountTableMember } from '@x/mounttable'

const WORKERS = 3
const PREFIXES = 8
const SLOTS = 64
const MOST_HELD = 32

/** Words of the shadow: how often each thread holds each slot, and which generation lookups must have reached. */
const shadow = (buffer) => ({
  held: (worker) => new Int32Array(buffer, 4 * SLOTS * worker, SLOTS),
  cleaned: new Int32Array(buffer, 4 * SLOTS * WORKERS, 2 ** 20),
  floor: new Int32Array(buffer, 4 * (SLOTS * WORKERS + 2 ** 20), PREFIXES),
  /** Lookups, misses of the mount that is always there, leases of cleaned generations, generations gone back. */
  totals: new Int32Array(buffer, 4 * (SLOTS * WORKERS + 2 ** 20 + PREFIXES), 4),
})
const SHADOW_BYTES = 4 * (SLOTS * WORKERS + 2 ** 20 + PREFIXES + 4)

let seed = Number(process.env.STRESS_SEED ?? 1)
function random(below) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

async function work() {
  const { table, index, buffer } = workerData
  const { held, cleaned, floor, totals } = shadow(buffer)
  const mine = held(index)
  seed += index
  const member = await MountTableMember.attach(table, { prepare: (spec) => spec })
  const leases = []
  let stopped = false
  parentPort.on('message', () => (stopped = true))
  parentPort.postMessage('attached')
  const drop = (at) => {
    const lease = leases[at]
    leases[at] = leases.at(-1)
    leases.pop()
    // The shadow rises after the count and falls before it: it never shows a lease that is not counted.
    Atomics.sub(mine, lease.mount.slot, 1)
    lease.release()
  }
  while (!stopped) {
    for (let round = 0; round < 200; round++) {
      const prefix = random(PREFIXES)
      const least = Atomics.load(floor, prefix)
      const lease = member.lookup(`/m${prefix}/x`)
      Atomics.add(totals, 0, 1)
      if (lease === undefined) {
        if (prefix === 0) Atomics.add(totals, 1, 1)
      } else {
        Atomics.add(mine, lease.mount.slot, 1)
        if (Atomics.load(cleaned, lease.mount.generation) !== 0) Atomics.add(totals, 2, 1)
        if (lease.mount.generation < least) Atomics.add(totals, 3, 1)
        leases.push(lease)
      }
      while (leases.length > random(MOST_HELD)) drop(random(leases.length))
    }
    await setImmediate()
  }
  while (leases.length > 0) drop(0)
  parentPort.postMessage('idle')
}

async function control() {
  const seconds = Number(process.env.STRESS_SECONDS ?? 60)
  const buffer = new SharedArrayBuffer(SHADOW_BYTES)
  const { held, cleaned, floor, totals } = shadow(buffer)
  const failures = []
  /** What this one held is nobody's, but its shadow lasts until the thread is known to be gone. */
  let dying = -1
  const counts = { changes: 0, cleaned: 0, kills: 0 }
  const table = new MountTable({
    slots: SLOTS,
    members: WORKERS,
    drainingLimit: 4,
    cleanup: ({ slot, generation }) => {
      counts.cleaned++
      if (Atomics.add(cleaned, generation, 1) !== 0)
        failures.push(`71: generation ${generation} cleaned twice`)
      for (let worker = 0; worker < WORKERS; worker++) {
        if (worker !== dying && Atomics.load(held(worker), slot) > 0)
          failures.push(`70: generation ${generation} cleaned while held`)
      }
    },
  })
  const workers = []
  const start = async (index) => {
    const handle = table.share()
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { table: handle, index, buffer },
      transferList: handle.transfer,
    })
    workers[index] = { worker, handle }
    await once(worker, 'message')
  }
  const kill = async () => {
    counts.kills++
    const index = random(WORKERS)
    const { worker, handle } = workers[index]
    dying = index
    await worker.terminate()
    held(index).fill(0)
    dying = -1
    table.removed(handle.id)
    await start(index)
  }
  /** Failures that are an answer: too many generations drain, or all slots are in use. */
  const expected = new Set(['ERR_MOUNT_DRAINING_LIMIT', 'ERR_MOUNT_SLOTS'])
  const change = async (prefix) => {
    const path = `/m${prefix}`
    const mounted = table.list().some((mount) => mount.prefix === path && mount.state === 'active')
    try {
      if (mounted && prefix > 0 && random(4) === 0) void table.unmount(path)
      else if (mounted) Atomics.store(floor, prefix, (await table.replace(path, prefix)).mount.generation)
      else await table.mount(path, prefix)
      counts.changes++
    } catch (error) {
      if (!expected.has(error.code)) throw error
      await setImmediate()
    }
  }

  for (let prefix = 0; prefix < PREFIXES; prefix++) await table.mount(`/m${prefix}`, prefix)
  await Promise.all(Array.from({ length: WORKERS }, (_, index) => start(index)))
  const end = performance.now() + seconds * 1000
  let next = performance.now() + 500
  while (performance.now() < end) {
    await change(random(PREFIXES))
    if (performance.now() > next) {
      await kill()
      next = performance.now() + 200 + random(800)
    }
  }
  for (const { worker } of workers) {
    const idle = once(worker, 'message')
    worker.postMessage('stop')
    await idle
  }
  for (const { prefix, references } of table.list()) {
    if (references !== 0) failures.push(`69: ${prefix} has ${references} references and no holder`)
  }
  await table.stop({ deadline: 10_000 })
  if (table.list().length > 0) failures.push('73: something is left after stop()')
  for (const { worker } of workers) await worker.terminate()
  const [lookups, misses, late, back] = totals
  if (misses > 0) failures.push(`72: ${misses} misses of a mount that is always there`)
  if (late > 0) failures.push(`70: ${late} leases of generations that were cleaned up`)
  if (back > 0) failures.push(`72: ${back} lookups found a generation older than one published before`)
  console.log(JSON.stringify({ seconds, lookups: lookups >>> 0, ...counts, failures }))
  process.exitCode = failures.length > 0 ? 1 : 0
}

await (isMainThread ? control() : work())
