import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'
import { ACTIVE, DRAINED, DRAINING, INIT, SharedTable, slotWord, stateOf } from '../src/shared-table.ts'
import { gate, TestWorker } from './fixtures/workers.ts'

function cleaning(): { table: MountTable; cleaned: number[] } {
  const cleaned: number[] = []
  const table = new MountTable({ cleanup: ({ generation }) => void cleaned.push(generation) })
  return { table, cleaned }
}

describe('crash', () => {
  test.each([
    ['noticed by its port', false],
    ['told by removed()', true],
  ])('58: a worker is terminated with leases: its stripe is zeroed, drains go on (%s)', async (_, tell) => {
    const { table, cleaned } = cleaning()
    const [dead, alive] = [await TestWorker.start(table), await TestWorker.start(table)]
    const mount = await table.mount('/a', { name: 'one' })
    await dead.call('hold', '/a')
    await dead.call('hold', '/a')
    const lease = await alive.call('hold', '/a')
    const unmounted = table.unmount('/a')
    await dead.terminate()
    if (tell) table.removed(dead.id)
    await expect(table.drain('/a', { deadline: 30 })).rejects.toMatchObject({
      holders: [{ member: alive.id, count: 1 }],
    })
    expect(table.list()).toMatchObject([{ references: 1, served: 3 }])
    await alive.call('release', lease)
    await unmounted
    expect(cleaned).toEqual([mount.generation])
    table.removed(dead.id)
    await alive.terminate()
    table.close()
  })

  test('58: process.exit() in a worker is the same', async () => {
    const { table, cleaned } = cleaning()
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    await worker.call('hold', '/a')
    const unmounted = table.unmount('/a')
    const exited = once(worker.worker, 'exit')
    worker.worker.postMessage({ command: 'exit', values: [] })
    await exited
    await unmounted
    expect(cleaned).toHaveLength(1)
  })

  test('59: one that died between its count and its look at the state is repaired like any other', () => {
    const table = SharedTable.create(1, 3)
    const generation = table.nextGeneration(0)
    const active = slotWord(generation, ACTIVE)
    table.setWord(0, active)
    table.setWord(0, slotWord(generation, DRAINING))
    const dying = table.stripe(1)
    expect(dying.acquire(0, active)).toBe(false)
    expect(table.settle(0)).toBe(false)
    table.clearStripe(1)
    expect(table.settle(0)).toBe(true)
    expect(table.settle(0)).toBe(false)
    expect(stateOf(table.word(0))).toBe(DRAINED)
  })

  test('60: a worker that dies while it prepares is left out', async () => {
    const { table } = cleaning()
    const [dying, alive] = [await TestWorker.start(table, 'a'), await TestWorker.start(table, 'b')]
    await table.mount('/a', { name: 'one', exitIn: 'a' })
    expect(await alive.call('answer', '/a')).toBe('one')
    expect(table.list()).toMatchObject([{ state: 'active' }])
    expect(dying.id).toBe(1)
    await alive.terminate()
  })

  test('60: one that is terminated while it prepares is not waited for', async () => {
    const { table } = cleaning()
    const worker = await TestWorker.start(table, 'a')
    const mounting = table.mount('/a', { name: 'one', gate: gate() })
    await worker.terminate()
    expect(await mounting).toMatchObject({ state: 'active' })
  })

  test('61: the message of the one that drained a slot is lost: the control thread cleans up all the same', async () => {
    const { table, cleaned } = cleaning()
    const handle = table.share()
    const mount = await table.mount('/a', 'one')
    // This thread plays a worker that wins the exchange and dies before it can say so.
    const shared = SharedTable.open(handle.buffer)
    const stripe = shared.stripe(handle.stripe)
    expect(stripe.acquire(mount.slot, slotWord(mount.generation, ACTIVE))).toBe(true)
    const unmounted = table.unmount('/a')
    expect(stripe.release(mount.slot)).toBe(true)
    expect(cleaned).toEqual([])
    handle.port.close()
    await unmounted
    expect(cleaned).toEqual([mount.generation])
  })

  test('a place is used again, under another id, and an old id is ignored', async () => {
    using table = new MountTable({ members: 1 })
    const first = await TestWorker.start(table)
    await first.terminate()
    table.removed(first.id)
    const second = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    await second.call('hold', '/a')
    table.removed(first.id)
    table.removed(99)
    expect(table.list()).toMatchObject([{ references: 1 }])
    await second.terminate()
  })

  test('a worker that never attached gives its place back when it ends', () => {
    using table = new MountTable({ members: 1 })
    const handle = table.share()
    expect(() => table.share()).toThrow(expect.objectContaining({ code: 'ERR_MOUNT_MEMBERS' }))
    table.removed(handle.id)
    table.share()
  })

  test('a state word survives its low bits: INIT is not ACTIVE', () => {
    const table = SharedTable.create(1, 1)
    const generation = table.nextGeneration(0)
    expect(stateOf(table.word(0))).toBe(INIT)
    expect(table.stripe(0).acquire(0, slotWord(generation, ACTIVE))).toBe(false)
  })
})
