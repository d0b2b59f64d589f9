import { describe, expect, test } from 'vitest'
import { MountTable, MountTableError } from '../src/index.ts'
import { SharedTable, slotWord, ACTIVE } from '../src/shared-table.ts'
import { codeOf, TestWorker } from './fixtures/workers.ts'

function single(slots = 16): { table: MountTable<string, string>; cleaned: string[] } {
  const cleaned: string[] = []
  const table = new MountTable<string, string>({
    slots,
    prepare: (spec) => spec,
    cleanup: ({ spec }) => void cleaned.push(spec),
  })
  return { table, cleaned }
}

describe('drain', () => {
  test('27: lookups miss at once, the clean-up waits for the lease', async () => {
    const { table, cleaned } = single()
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const unmounted = table.unmount('/a')
    expect(table.lookup('/a')).toBeUndefined()
    expect(table.list()).toMatchObject([{ state: 'draining', references: 1 }])
    lease.release()
    expect(cleaned).toEqual([])
    await unmounted
    expect(cleaned).toEqual(['one'])
  })

  test('28: leases in several workers', async () => {
    const cleaned: number[] = []
    using table = new MountTable({ cleanup: ({ generation }) => void cleaned.push(generation) })
    const workers = await Promise.all([
      TestWorker.start(table),
      TestWorker.start(table),
      TestWorker.start(table),
    ])
    await table.mount('/a', { name: 'one' })
    const held: [TestWorker, unknown][] = []
    for (const worker of workers) {
      held.push([worker, await worker.call('hold', '/a')], [worker, await worker.call('hold', '/a')])
    }
    expect(table.list()[0]?.references).toBe(6)
    const unmounted = table.unmount('/a')
    for (const [worker, lease] of held) {
      expect(cleaned).toEqual([])
      await worker.call('release', lease)
    }
    await unmounted
    expect(cleaned).toHaveLength(1)
    expect(await workers[0].call('events', 2)).toEqual(['prepare one', 'dispose one'])
    for (const worker of workers) await worker.terminate()
  })

  test('29: all who wait for a drain are told once, after the clean-up', async () => {
    let finish!: () => void
    const order: string[] = []
    const table = new MountTable<string, string>({
      prepare: (spec) => spec,
      cleanup: async () => {
        await new Promise<void>((resolve) => (finish = resolve))
        order.push('cleaned')
      },
    })
    await table.mount('/a', 'one')
    const { drained } = await table.replace('/a', 'two')
    const waits = [drained, table.drain('/a')].map((wait) => wait.then(() => order.push('told')))
    await Promise.resolve()
    finish()
    await Promise.all(waits)
    expect(order).toEqual(['cleaned', 'told', 'told'])
  })

  test('30: a deadline names the holders, and the drain goes on', async () => {
    const { table, cleaned } = single()
    await table.mount('/a', 'one')
    const worker = table.share()
    const leases = [table.lookup('/a')!, table.lookup('/a')!]
    const error = await table.unmount('/a', { deadline: 15 }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(MountTableError)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_DRAIN_DEADLINE', holders: [{ member: 0, count: 2 }] })
    expect((error as MountTableError).holders[0]?.age).toBeGreaterThanOrEqual(10)
    expect((error as MountTableError).message).toContain('member 0 holds 2')
    expect(cleaned).toEqual([])
    for (const lease of leases) lease.release()
    await table.drain('/a')
    expect(cleaned).toEqual(['one'])
    table.removed(worker.id)
  })

  test('30: in a worker, the holder is its id', async () => {
    using table = new MountTable()
    const [first, second] = [await TestWorker.start(table), await TestWorker.start(table)]
    await table.mount('/a', { name: 'one' })
    await second.call('hold', '/a')
    const error = await table.unmount('/a', { deadline: 10 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      holders: [
        {
          member: second.id,
          thread: second.worker.threadId,
          prefix: '/a',
          host: undefined,
          generation: 1,
          count: 1,
        },
      ],
    })
    for (const worker of [first, second]) await worker.terminate()
  })

  test('30: a clean-up that does not end is what the deadline names then', async () => {
    const table = new MountTable<string>({ cleanup: () => new Promise(() => undefined) })
    await table.mount('/a', 'one')
    const error = await table.unmount('/a', { deadline: 10 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_DRAIN_DEADLINE', holders: [] })
    expect((error as Error).message).toContain('the clean-up still runs')
  })

  test('31: force aborts the signals and cleans up; a late release is harmless', async () => {
    const { table, cleaned } = single(1)
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const { signal } = lease
    await table.unmount('/a', { force: true, deadline: 5 })
    expect(signal.aborted).toBe(true)
    expect(cleaned).toEqual(['one'])
    // The slot's count is not zero, so it is not used again yet.
    await expect(table.mount('/b', 'two')).rejects.toMatchObject({
      code: 'ERR_MOUNT_SLOTS',
      message: expect.stringContaining('1 of them kept by leases') as string,
    })
    lease.release()
    await table.mount('/b', 'two')
    expect(table.list()).toMatchObject([{ prefix: '/b', references: 0 }])
    expect(cleaned).toEqual(['one'])
  })

  test('31: force reaches the leases of workers, also after they have left', async () => {
    using table = new MountTable()
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    const lease = await worker.call('hold', '/a')
    await worker.call('close')
    await table.unmount('/a', { force: true })
    expect(await worker.call('untilAborted', lease)).toBe(true)
    await worker.call('release', lease)
    await worker.terminate()
  })

  test('32: what is held for long is listed as draining', async () => {
    const { table } = single()
    const mount = await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const { drained } = await table.replace('/a', 'two')
    expect(table.list()).toMatchObject([
      { generation: mount.generation, state: 'draining', references: 1 },
      { state: 'active', references: 0 },
    ])
    lease.release()
    await drained
  })

  test('33: a handler may unmount itself', async () => {
    const { table, cleaned } = single()
    await table.mount('/a', 'one')
    const serve = (): Promise<void> => {
      using lease = table.lookup('/a')
      expect(lease?.handler).toBe('one')
      return table.unmount('/a')
    }
    await serve()
    expect(cleaned).toEqual(['one'])
  })

  test('34: a handler that waits for its own drain waits until the deadline, which names it', async () => {
    const { table } = single()
    await table.mount('/a', 'one')
    using lease = table.lookup('/a')
    expect(lease).toBeDefined()
    const error = await table.unmount('/a', { deadline: 5 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_DRAIN_DEADLINE', holders: [{ member: 0, count: 1 }] })
  })

  test('35: a second unmount is refused, drain() shares the wait', async () => {
    const { table, cleaned } = single()
    const mount = await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const first = table.unmount('/a')
    const error = await table.unmount('/a').catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_NOT_FOUND',
      message: expect.stringContaining('drain()') as string,
    })
    const second = table.drain(mount)
    lease.release()
    await Promise.all([first, second])
    expect(cleaned).toEqual(['one'])
  })

  test('drain() starts nothing', async () => {
    const { table } = single()
    const mount = await table.mount('/a', 'one')
    await table.drain('/a')
    expect(await codeOf(table.drain(mount))).toBe('ERR_MOUNT_NOT_FOUND')
    expect(table.lookup('/a')?.handler).toBe('one')
  })

  test('a signal ends the wait, not the drain', async () => {
    const { table, cleaned } = single()
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const controller = new AbortController()
    const unmounted = table.unmount('/a', { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(unmounted).rejects.toThrow('enough')
    lease.release()
    await table.drain('/a')
    expect(cleaned).toEqual(['one'])
  })

  test('31, 38: a force that comes late does not touch what has the slot by then', async () => {
    const { table, cleaned } = single(3)
    await table.mount('/a', 'first')
    const first = table.lookup('/a')!
    await table.replace('/a', 'second')
    const second = table.lookup('/a')!
    const unmounted = table.unmount('/a')
    const forced = table.drain('/a', { deadline: 60, force: true })
    first.release()
    await expect.poll(() => cleaned).toEqual(['first'])
    // Two more mounts: one of them has the slot of the first generation.
    await table.mount('/b', 'third')
    await table.mount('/c', 'fourth')
    const leases = [table.lookup('/b')!, table.lookup('/c')!]
    const others = [table.unmount('/b'), table.unmount('/c')]
    await forced
    await unmounted
    expect(leases.map(({ signal }) => signal.aborted)).toEqual([false, false])
    expect(second.signal.aborted).toBe(true)
    expect(table.list().map(({ state, references }) => [state, references])).toEqual([
      ['draining', 1],
      ['draining', 1],
    ])
    for (const lease of leases) lease.release()
    await Promise.all(others)
    second.release()
    expect(cleaned).toEqual(['first', 'second', 'third', 'fourth'])
  })

  test('30: the holders of a slot are not blamed on its earlier generation', async () => {
    let finish!: () => void
    const table = new MountTable<string, string>({
      slots: 2,
      prepare: (spec) => spec,
      cleanup: ({ spec }) =>
        spec === 'slow' ? new Promise<void>((resolve) => (finish = resolve)) : undefined,
    })
    await table.mount('/a', 'quick')
    await table.mount('/b', 'slow')
    const quick = table.lookup('/a')!
    const stopped = table.stop({ deadline: 60 })
    quick.release()
    await table.drain('/a')
    const error = await stopped.catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_MOUNT_DRAIN_DEADLINE', holders: [] })
    finish()
    await table.stop()
  })

  test('31: what a forced lease notes late is not counted for the next generation of its slot', async () => {
    using table = new MountTable<string>({ slots: 1, members: 1 })
    const handle = table.share()
    const stripe = SharedTable.open(handle.buffer).stripe(handle.stripe)
    const { slot, generation } = await table.mount('/a', 'one')
    expect(stripe.acquire(slot, slotWord(generation, ACTIVE))).toBe(true)
    await table.unmount('/a', { force: true })
    // As a thread does that was held up between its look at the state and its note: it writes into a free slot.
    expect(stripe.acquire(slot, SharedTable.open(handle.buffer).word(slot))).toBe(true)
    stripe.release(slot)
    stripe.release(slot)
    expect(await table.mount('/b', 'two')).toMatchObject({ served: 0, references: 0 })
  })

  test('64: a lookup that comes too late does not keep a slot from its next mount', async () => {
    using table = new MountTable<string>({ slots: 1, members: 1 })
    const handle = table.share()
    const stripe = SharedTable.open(handle.buffer).stripe(handle.stripe)
    const { slot, generation } = await table.mount('/a', 'one')
    await table.unmount('/a')
    expect(stripe.acquire(slot, slotWord(generation, ACTIVE))).toBe(false)
    await table.mount('/b', 'two')
    stripe.release(slot)
    await table.unmount('/b')
  })
})
