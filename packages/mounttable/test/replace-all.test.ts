import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'
import { codeOf, gate, lookupsAt, TestWorker } from './fixtures/workers.ts'

function counting(): { table: MountTable<number, number>; cleaned: number[] } {
  const cleaned: number[] = []
  const table = new MountTable<number, number>({
    drainingLimit: 2,
    prepare: (spec) => {
      if (spec < 0) throw new Error('negative')
      return spec
    },
    cleanup: ({ spec }) => void cleaned.push(spec),
  })
  return { table, cleaned }
}

const active = (table: MountTable<number, number>): [string, number][] =>
  table
    .list()
    .filter(({ state }) => state === 'active')
    .map(({ host, prefix, spec }) => [`${host ?? ''}${prefix}`, spec])

describe('replaceAll', () => {
  test('mounts what is new, replaces what was there and unmounts the rest, with one change', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    await table.mount('/b', 2)
    await table.mount('/b', 3, { host: 'x.org' })
    const before = table.version
    const { mounts, drained } = await table.replaceAll([
      { prefix: '/b', spec: 12 },
      { prefix: '/c', spec: 13, host: 'y.org' },
    ])
    expect(table.version).toBe(before + 1)
    expect(mounts).toMatchObject([
      { prefix: '/b', spec: 12, state: 'active' },
      { prefix: '/c', host: 'y.org', spec: 13, state: 'active' },
    ])
    await drained
    expect(active(table)).toEqual([
      ['/b', 12],
      ['y.org/c', 13],
    ])
    expect(table.list()).toHaveLength(2)
    expect(cleaned.sort((a, b) => a - b)).toEqual([1, 2, 3])
  })

  test('an empty list unmounts everything', async () => {
    const { table } = counting()
    await table.mount('/a', 1)
    await (
      await table.replaceAll([])
    ).drained
    expect(table.list()).toEqual([])
    await table.mount('/a', 2)
  })

  test('drained waits for the leases of all that was replaced and unmounted', async () => {
    const { table } = counting()
    await table.mount('/a', 1)
    await table.mount('/b', 2)
    const leases = [table.lookup('/a')!, table.lookup('/b')!]
    const { drained } = await table.replaceAll([{ prefix: '/a', spec: 3 }])
    let over = false
    void drained.then(() => (over = true))
    leases[0]!.release()
    await table.mount('/c', 4)
    expect([over, table.lookup('/b')]).toEqual([false, undefined])
    leases[1]!.release()
    await drained
  })

  test('when one cannot be prepared nothing changes, and what was prepared is given up', async () => {
    const { table, cleaned } = counting()
    await table.mount('/a', 1)
    await table.mount('/b', 2)
    const before = [table.version, active(table)]
    const ended: number[] = []
    const wanted = [3, 4, -5].map((spec) => ({
      prefix: `/${spec}`,
      spec,
      init: () => undefined,
      cleanup: () => void ended.push(spec),
    }))
    const refused = table.replaceAll([{ prefix: '/a', spec: 6 }, ...wanted])
    await expect(refused).rejects.toMatchObject({ code: 'ERR_MOUNT_PREPARE' })
    await table.drain('/3')
    expect([table.version, active(table)]).toEqual(before)
    await expect.poll(() => ended.sort((a, b) => a - b)).toEqual([-5, 3, 4])
    expect(cleaned).not.toContain(1)
    expect(table.list()).toHaveLength(2)
  })

  test('what is wrong is refused before anything is prepared', async () => {
    const { table } = counting()
    const twice = [
      { prefix: '/a', spec: 1, host: 'X.org' },
      { prefix: '/a', spec: 2, host: 'x.org' },
    ]
    expect(await codeOf(table.replaceAll(twice))).toBe('ERR_MOUNT_TAKEN')
    expect(await codeOf(table.replaceAll([{ prefix: 'a', spec: 1 }]))).toBe('ERR_MOUNT_PREFIX')
    expect(await codeOf(table.replaceAll([{ prefix: '/a', spec: 1, color: 1 } as never]))).toBe('EINVAL')
    expect(await codeOf(table.replaceAll([], { host: 'x' } as never))).toBe('EINVAL')
    expect(table.list()).toEqual([])
  })

  test('takes its turn behind a replace of one of its places, and keeps to the draining limit', async () => {
    const { table } = counting()
    await table.mount('/a', 1)
    const leases = [table.lookup('/a')!]
    const first = table.replace('/a', 2)
    const second = table.replaceAll([{ prefix: '/a', spec: 3 }])
    await first
    await (
      await second
    ).drained
    expect(active(table)).toEqual([['/a', 3]])
    leases.push(table.lookup('/a')!)
    await table.replace('/a', 4)
    expect(await codeOf(table.replaceAll([{ prefix: '/a', spec: 5 }]))).toBe('ERR_MOUNT_DRAINING_LIMIT')
    expect(active(table)).toEqual([['/a', 4]])
    for (const lease of leases) lease.release()
  })

  test('an unmount of one of its places while it prepares refuses all', async () => {
    const { table } = counting()
    await table.mount('/a', 1)
    await table.mount('/b', 1)
    let goOn!: () => void
    const waiting = new Promise<void>((resolve) => (goOn = resolve))
    const refused = table.replaceAll([
      { prefix: '/a', spec: 2, init: () => waiting },
      { prefix: '/b', spec: 2 },
    ])
    await table.unmount('/a')
    expect(await codeOf(refused)).toBe('ERR_MOUNT_NOT_FOUND')
    goOn()
    expect(active(table)).toEqual([['/b', 1]])
  })

  test('a deadline refuses all', async () => {
    const { table } = counting()
    const never = { prefix: '/a', spec: 1, init: () => new Promise<void>(() => undefined) }
    const refused = table.replaceAll([{ prefix: '/b', spec: 1 }, never], { deadline: 20 })
    expect(await codeOf(refused)).toBe('ERR_MOUNT_INIT')
    expect(active(table)).toEqual([])
  })

  test('no worker ever misses a prefix that stays', async () => {
    using table = new MountTable({ drainingLimit: 1000 })
    const workers = await Promise.all([TestWorker.start(table), TestWorker.start(table)])
    await table.mount('/a', 0)
    const gates = workers.map(() => gate())
    const stops = await Promise.all(
      workers.map((worker, index) => worker.begin('spin', gates[index]!, '/a/b')),
    )
    const seen = () => gates.map(lookupsAt).reduce((sum, count) => sum + count)
    for (let spec = 1; spec <= 100 || seen() <= 100_000; spec++) {
      await table.replaceAll([
        { prefix: '/a', spec },
        { prefix: `/${spec % 2}`, spec },
      ])
    }
    for (const stop of stops) expect(await stop()).toMatchObject({ misses: 0, backwards: 0 })
    for (const worker of workers) await worker.terminate()
  }, 120_000)
})
