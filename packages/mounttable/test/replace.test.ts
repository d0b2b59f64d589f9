import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'
import { Replica } from '../src/replica.ts'
import { SharedTable, slotWord, ACTIVE, FREE } from '../src/shared-table.ts'
import { codeOf, gate, lookupsAt, TestWorker } from './fixtures/workers.ts'

function counting(options: { drainingLimit?: number; slots?: number } = {}): {
  table: MountTable<number, number>
  cleaned: number[]
} {
  const cleaned: number[] = []
  const table = new MountTable<number, number>({
    ...options,
    prepare: (spec) => {
      if (spec < 0) throw new Error('negative')
      return spec
    },
    cleanup: ({ spec }) => void cleaned.push(spec),
  })
  return { table, cleaned }
}

describe('replace', () => {
  test('18: what holds a lease stays with the old generation to its end', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    const old = table.lookup('/a')!
    const { mount, drained } = await table.replace('/a', 2)
    expect(mount).toMatchObject({ spec: 2, state: 'active' })
    expect(table.lookup('/a')?.handler).toBe(2)
    expect(old.handler).toBe(1)
    expect(cleaned).toEqual([])
    old.release()
    await drained
    expect(cleaned).toEqual([1])
  })

  test('19: the first lookup after replace() finds the new one in every worker', async () => {
    using table = new MountTable()
    const workers = await Promise.all([
      TestWorker.start(table),
      TestWorker.start(table),
      TestWorker.start(table),
    ])
    await table.mount('/a', 0)
    for (let spec = 1; spec <= 50; spec++) {
      await table.replace('/a', spec)
      expect(await Promise.all(workers.map((worker) => worker.call('answer', '/a')))).toEqual([
        spec,
        spec,
        spec,
      ])
    }
    for (const worker of workers) await worker.terminate()
  })

  test('20: a prefix that is replaced all the time is never missed in 10 million lookups, and never goes back', async () => {
    using table = new MountTable({ drainingLimit: 1000 })
    const workers = await Promise.all([TestWorker.start(table), TestWorker.start(table)])
    await table.mount('/a', 0)
    const gates = workers.map(() => gate())
    const stops = await Promise.all(
      workers.map((worker, index) => worker.begin('spin', gates[index]!, '/a/b')),
    )
    const seen = () => gates.map(lookupsAt).reduce((sum, count) => sum + count)
    for (let spec = 1; spec <= 500 || seen() <= 10_000_000; spec++) await table.replace('/a', spec)
    let lookups = 0
    for (const stop of stops) {
      const result = (await stop()) as { lookups: number }
      expect(result).toMatchObject({ misses: 0, backwards: 0 })
      expect(result.lookups).toBeGreaterThan(1000)
      lookups += result.lookups
    }
    expect(lookups).toBeGreaterThan(10_000_000)
    for (const worker of workers) await worker.terminate()
  }, 120_000)

  test('21: when the new one cannot be prepared, the old one stays and nothing drains', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    const version = table.version
    expect(await codeOf(table.replace('/a', -1))).toBe('ERR_MOUNT_PREPARE')
    expect(table.list()).toMatchObject([{ spec: 1, state: 'active' }])
    expect(table.version).toBe(version)
    expect(table.lookup('/a')?.handler).toBe(1)
    expect(cleaned).toEqual([])
  })

  test('22: three generations live at once, and each is cleaned up once in its own time', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    const first = table.lookup('/a')!
    const [one, two] = [table.replace('/a', 2), table.replace('/a', 3)]
    await one
    const second = table.lookup('/a')!
    await two
    expect(second.handler).toBe(2)
    expect(table.list().map(({ spec, state }) => [spec, state])).toEqual([
      [1, 'draining'],
      [2, 'draining'],
      [3, 'active'],
    ])
    second.release()
    await (
      await two
    ).drained
    expect(cleaned).toEqual([2])
    first.release()
    await (
      await one
    ).drained
    expect(cleaned).toEqual([2, 1])
  })

  test('22: calls for one mount point take turns, and a turn has a deadline', async () => {
    let finish: (() => void) | undefined
    const table = new MountTable<number, number>({
      prepare: async (spec) => {
        if (spec === 2) await new Promise<void>((resolve) => (finish = resolve))
        return spec
      },
    })
    await table.mount('/a', 1)
    const slow = table.replace('/a', 2)
    const quick = table.replace('/a', 3)
    expect(await codeOf(table.replace('/a', 4, { deadline: 10 }))).toBe('ERR_MOUNT_PREPARE')
    expect(table.lookup('/a')?.handler).toBe(1)
    finish?.()
    await slow
    await quick
    expect(table.lookup('/a')?.handler).toBe(3)
  })

  test('an unmount ends a replace() that is under way', async () => {
    const table = new MountTable<number, number>({
      prepare: (spec) => (spec === 2 ? new Promise<number>(() => undefined) : spec),
    })
    await table.mount('/a', 1)
    const replacing = table.replace('/a', 2)
    await table.unmount('/a')
    expect(await codeOf(replacing)).toBe('ERR_MOUNT_NOT_FOUND')
    expect(table.list()).toEqual([])
  })

  test('24: a mount point keeps its statistics, a generation gets a new number', async () => {
    const { table } = counting()
    const first = await table.mount('/a', 1)
    for (let count = 0; count < 5; count++) table.lookup('/a')?.release()
    const { mount, drained } = await table.replace('/a', 2)
    await drained
    table.lookup('/a')?.release()
    expect(mount.generation).toBeGreaterThan(first.generation)
    expect(table.list()).toMatchObject([{ served: 6 }])
    await table.unmount('/a')
    await table.mount('/a', 3)
    expect(table.list()).toMatchObject([{ served: 0 }])
  })

  test('25: the same spec again is a new generation', async () => {
    const { table, cleaned } = counting()
    const first = await table.mount('/a', 1)
    const { mount, drained } = await table.replace('/a', 1)
    await drained
    expect(mount.generation).not.toBe(first.generation)
    expect(cleaned).toEqual([1])
  })

  test('25: so is the same handler object, and each is cleaned up', async () => {
    const cleaned: number[] = []
    const handler = { serve: () => 'served' }
    const table = new MountTable<typeof handler>({
      members: 0,
      cleanup: ({ generation }) => void cleaned.push(generation),
    })
    const first = await table.mount('/a', handler)
    const lease = table.lookup('/a')!
    const { mount, drained } = await table.replace('/a', handler)
    const again = table.lookup('/a')!
    expect(again.handler).toBe(lease.handler)
    expect(again.mount.generation).toBe(mount.generation)
    expect(mount.generation).not.toBe(first.generation)
    lease.release()
    await drained
    expect(cleaned).toEqual([first.generation])
    again.release()
    await table.unmount('/a')
    expect(cleaned).toEqual([first.generation, mount.generation])
  })

  test('26: going back while the old one drains is a new generation of the old spec', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    const lease = table.lookup('/a')!
    const forth = await table.replace('/a', 2)
    const back = await table.replace('/a', 1)
    expect(table.lookup('/a')).toMatchObject({ handler: 1, mount: { generation: back.mount.generation } })
    expect(table.list().map(({ spec, state }) => [spec, state])).toEqual([
      [1, 'draining'],
      [1, 'active'],
    ])
    lease.release()
    await Promise.all([forth.drained, back.drained])
    expect(cleaned.sort()).toEqual([1, 2])
  })

  test('26: rollback() is a new generation of the spec before, while that drains; a second one goes forth', async () => {
    const { table, cleaned } = counting()
    const first = await table.mount('/a', 1)
    const lease = table.lookup('/a')!
    const forth = await table.replace('/a', 2)
    const back = await table.rollback('/a')
    expect(back.mount).toMatchObject({ spec: 1, state: 'active' })
    expect(back.mount.generation).toBeGreaterThan(forth.mount.generation)
    expect(table.lookup('/a')?.handler).toBe(1)
    await back.drained
    expect(cleaned).toEqual([2])
    // What drains goes on to drain.
    expect(table.list()[0]).toMatchObject({ generation: first.generation, state: 'draining', references: 1 })
    lease.release()
    await forth.drained
    const again = await table.rollback('/a')
    expect(table.lookup('/a')?.handler).toBe(2)
    expect(again.mount.served).toBe(2)
    expect(cleaned).toEqual([2, 1])
  })

  test('26: rollback() also when the generation before is long gone, with its hooks', async () => {
    const order: string[] = []
    const { table } = counting()
    await table.mount('/a', 1, {
      init: ({ generation }) => void order.push(`init ${generation}`),
      cleanup: ({ generation }) => void order.push(`cleanup ${generation}`),
    })
    const { drained } = await table.replace('/a', 2)
    await drained
    const { mount } = await table.rollback('/a')
    expect(order).toEqual(['init 1', 'cleanup 1', `init ${mount.generation}`])
    expect(table.lookup('/a')?.handler).toBe(1)
  })

  test('26: there is nothing to go back to before a replace(), or after an unmount()', async () => {
    const { table } = counting()
    expect(await codeOf(table.rollback('/a'))).toBe('ERR_MOUNT_NOT_FOUND')
    await table.mount('/a', 1)
    expect(await codeOf(table.rollback('/a'))).toBe('ERR_MOUNT_NO_PREVIOUS')
    expect(await codeOf(table.replace('/a', -1))).toBe('ERR_MOUNT_PREPARE')
    expect(await codeOf(table.rollback('/a'))).toBe('ERR_MOUNT_NO_PREVIOUS')
    await table.replace('/a', 2)
    const lease = table.lookup('/a')
    const unmounted = table.unmount('/a')
    await table.mount('/a', 3)
    expect(await codeOf(table.rollback('/a'))).toBe('ERR_MOUNT_NO_PREVIOUS')
    expect(await codeOf(table.rollback('/a', { init: 1 } as object))).toBe('EINVAL')
    lease?.release()
    await unmounted
  })

  test('36, 37: a prefix mounted again while the old one drains; its clean-up leaves the new one', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    const old = table.lookup('/a')!
    const unmounted = table.unmount('/a')
    await table.mount('/a', 2)
    expect(table.lookup('/a')?.handler).toBe(2)
    expect(old.handler).toBe(1)
    old.release()
    await unmounted
    expect(cleaned).toEqual([1])
    expect(table.lookup('/a')?.handler).toBe(2)
  })

  test('38: a name of an earlier generation of a slot takes no lease of a later one', () => {
    const table = SharedTable.create(1, 2)
    const stripe = table.stripe(1)
    const first = table.nextGeneration(0)
    table.setWord(0, slotWord(first, ACTIVE))
    const stale = slotWord(first, ACTIVE)
    table.setWord(0, slotWord(first, FREE))
    table.setWord(0, slotWord(table.nextGeneration(0), ACTIVE))
    expect(stripe.acquire(0, stale)).toBe(false)
    stripe.release(0)
    expect(table.references(0)).toBe(0)
  })

  test('38: while one slot goes from mount to mount, a worker never gets the handler of another', async () => {
    using table = new MountTable<string>({ slots: 1 })
    const worker = await TestWorker.start(table)
    const stop = await worker.begin('collect', gate(), '/a')
    for (let round = 0; round < 200; round++) {
      for (const name of ['a', 'b']) {
        await table.mount(`/${name}`, name)
        await table.unmount(`/${name}`)
      }
    }
    const { lookups, answers } = (await stop()) as { lookups: number; answers: string[] }
    expect(lookups).toBeGreaterThan(1000)
    for (const answer of answers) expect(answer).toBe('a')
    await worker.terminate()
  })

  test('72: a publication that a thread has heard of takes effect when its version is stored, as in all threads', async () => {
    const table = SharedTable.create(2, 2)
    const callbacks = { prepare: (spec: number) => spec }
    const nowhere = { refresh: () => undefined, drained: () => undefined }
    const replicas = [0, 1].map(
      (stripe) => new Replica<number, number>(table.stripe(stripe), callbacks, nowhere),
    )
    const names = [1, 2].map((spec, slot) => {
      const generation = table.nextGeneration(slot)
      table.setWord(slot, slotWord(generation, ACTIVE))
      return { prefix: '/a', host: undefined, slot, generation, spec }
    })
    const [first, second] = [names[0]!, names[1]!]
    const found = (): unknown[] => replicas.map((replica) => replica.lookup('/a', undefined)?.handler)
    for (const replica of replicas) {
      for (const name of names) await replica.prepare(name)
      replica.publish([{ version: 1, added: [first], removed: [] }])
    }
    expect(found()).toEqual([undefined, undefined])
    table.version = 1
    expect(found()).toEqual([1, 1])
    replicas[0]!.publish([{ version: 2, added: [second], removed: [] }]) // the other has not heard of it yet
    expect(found()).toEqual([1, 1])
    replicas[1]!.publish([{ version: 2, added: [second], removed: [] }])
    table.version = 2
    expect(found()).toEqual([2, 2])
  })

  test('39: the greatest and the least number of a generation are served in a worker', async () => {
    using table = new MountTable<string>({ slots: 2 })
    const handle = table.share()
    const worker = await TestWorker.start({ share: () => handle })
    new Int32Array(handle.buffer)[5] = 2 ** 29 - 2
    expect(await table.mount('/a', 'last')).toMatchObject({ generation: 2 ** 29 - 1 })
    expect(await worker.call('answer', '/a')).toBe('last')
    await worker.call('hold', '/a')
    const stopped = table.stop()
    expect(await worker.call('answer', '/a')).toBeUndefined()
    await worker.call('release', 0)
    await stopped
    table.start()
    expect(await table.mount('/a', 'first')).toMatchObject({ generation: 0 })
    expect(await worker.call('answer', '/a')).toBe('first')
    await worker.terminate()
  })

  test('39: generation numbers start again after 2^29', () => {
    const table = SharedTable.create(1, 1)
    // The word that holds the last number given.
    new Int32Array(table.buffer)[5] = 2 ** 29 - 2
    const last = table.nextGeneration(0)
    expect(last).toBe(2 ** 29 - 1)
    table.setWord(0, slotWord(last, ACTIVE))
    const stripe = table.stripe(0)
    expect(stripe.acquire(0, slotWord(last, ACTIVE))).toBe(true)
    stripe.release(0)
    expect(table.nextGeneration(0)).toBe(0)
    expect(stripe.acquire(0, slotWord(last, ACTIVE))).toBe(false)
    stripe.release(0)
  })

  test('39: when all numbers are given, mounts are refused until the table is empty', async () => {
    using table = new MountTable<string>({ slots: 4, members: 1 })
    const words = new Int32Array(table.share().buffer)
    await table.mount('/a', 'one')
    words[5] = 2 ** 29 - 2
    expect(await table.mount('/b', 'two')).toMatchObject({ generation: 2 ** 29 - 1 })
    for (const call of [table.mount('/c', 'three'), table.replace('/a', 'three')]) {
      await expect(call).rejects.toMatchObject({ code: 'ERR_MOUNT_GENERATIONS' })
    }
    expect(table.list()).toHaveLength(2)
    await table.stop()
    table.start()
    expect(await table.mount('/c', 'three')).toMatchObject({ generation: 0, state: 'active' })
    expect(await table.mount('/d', 'four')).toMatchObject({ generation: 1 })
  })

  test('67: nor does unmounting and mounting again pass the limit', async () => {
    const { table } = counting({ drainingLimit: 2 })
    const leases = []
    const unmounts = []
    for (const spec of [1, 2]) {
      await table.mount('/a', spec)
      leases.push(table.lookup('/a'))
      unmounts.push(table.unmount('/a'))
    }
    await expect(table.mount('/a', 3)).rejects.toMatchObject({
      code: 'ERR_MOUNT_DRAINING_LIMIT',
      syscall: 'mount',
    })
    await table.mount('/b', 3)
    leases[0]?.release()
    await unmounts[0]
    await table.mount('/a', 3)
    leases[1]?.release()
    await unmounts[1]
  })

  test('67: a limit of 0 refuses what would drain, and no first mount', async () => {
    const { table } = counting({ drainingLimit: 0 })
    await table.mount('/a', 1)
    expect(await codeOf(table.replace('/a', 2))).toBe('ERR_MOUNT_DRAINING_LIMIT')
    await table.unmount('/a')
    await table.mount('/a', 2)
  })

  test('67: too many draining generations of a mount point are refused', async () => {
    const { table } = counting({ drainingLimit: 2 })
    await table.mount('/a', 1)
    const leases = [table.lookup('/a')!]
    await table.replace('/a', 2)
    leases.push(table.lookup('/a')!)
    const { drained } = await table.replace('/a', 3)
    expect(await codeOf(table.replace('/a', 4))).toBe('ERR_MOUNT_DRAINING_LIMIT')
    expect(table.lookup('/a')?.handler).toBe(3)
    leases[1]?.release()
    await drained
    await table.replace('/a', 4)
    leases[0]?.release()
  })
})
