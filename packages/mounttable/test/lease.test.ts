import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'
import { ACTIVE, SharedTable, slotWord } from '../src/shared-table.ts'

type Handler = (rest: string) => unknown

async function serving(
  handler: Handler,
): Promise<{ table: MountTable<string, Handler>; references: () => number }> {
  const table = new MountTable<string, Handler>({ prepare: () => handler })
  await table.mount('/a', 'one')
  return { table, references: () => table.list()[0]?.references ?? 0 }
}

describe('lease', () => {
  test('12: a handler that returns gives its lease back', async () => {
    const { table, references } = await serving((rest) => {
      expect(references()).toBe(1)
      return rest
    })
    const serve = (): unknown => {
      using lease = table.lookup('/a/x')
      return lease?.handler(lease.rest)
    }
    expect(serve()).toBe('/x')
    expect(references()).toBe(0)
  })

  test('13: so does one that throws', async () => {
    const { table, references } = await serving(() => {
      throw new Error('handler')
    })
    expect(() => {
      using lease = table.lookup('/a')
      lease?.handler('')
    }).toThrow('handler')
    expect(references()).toBe(0)
  })

  test('14: so does one whose promise rejects, when it does', async () => {
    let fail!: (error: Error) => void
    const { table, references } = await serving(() => new Promise((_, reject) => (fail = reject)))
    const serve = async (): Promise<void> => {
      using lease = table.lookup('/a')
      await lease?.handler('')
    }
    const served = serve()
    expect(references()).toBe(1)
    fail(new Error('later'))
    await expect(served).rejects.toThrow('later')
    expect(references()).toBe(0)
  })

  test('15: a response that its client aborts gives its lease back, once', async () => {
    const client = new AbortController()
    const { table, references } = await serving(
      (rest) =>
        new Promise((_, reject) => {
          client.signal.addEventListener('abort', () => {
            reject(new Error(`nobody waits for ${rest}`))
          })
        }),
    )
    const leases: { released: boolean }[] = []
    const serve = async (): Promise<void> => {
      using lease = table.lookup('/a/x')
      if (lease !== undefined) leases.push(lease)
      await lease?.handler(lease.rest)
    }
    const served = [serve(), serve()]
    expect(references()).toBe(2)
    client.abort()
    client.abort()
    for (const outcome of await Promise.allSettled(served)) expect(outcome.status).toBe('rejected')
    expect(leases.map(({ released }) => released)).toEqual([true, true])
    expect(references()).toBe(0)
    await table.unmount('/a')
  })

  test('16: releasing twice throws and counts once; disposing twice is fine', async () => {
    const { table, references } = await serving(() => undefined)
    const first = table.lookup('/a')!
    const second = table.lookup('/a')!
    expect(references()).toBe(2)
    first.release()
    expect(first.released).toBe(true)
    expect(() => {
      first.release()
    }).toThrow(expect.objectContaining({ code: 'ERR_LEASE_RELEASED' }))
    first[Symbol.dispose]()
    expect(references()).toBe(1)
    second[Symbol.dispose]()
    second[Symbol.dispose]()
    expect(references()).toBe(0)
  })

  test('every lease counts as served', async () => {
    const { table } = await serving(() => undefined)
    for (let count = 0; count < 1000; count++) table.lookup('/a')?.release()
    expect(table.list()[0]?.served).toBe(1000)
  })

  test('the signal of a lease is not aborted by a replacement or a drain', async () => {
    const { table } = await serving(() => undefined)
    const lease = table.lookup('/a')!
    const { drained } = await table.replace('/a', 'two')
    expect(lease.signal.aborted).toBe(false)
    lease.release()
    await drained
    expect(lease.signal.aborted).toBe(false)
  })

  test('66: a count that would saturate is refused and stays as it was', () => {
    const table = SharedTable.create(2, 2)
    const before = new Int32Array(table.buffer.slice(0))
    const stripe = table.stripe(1)
    const active = slotWord(table.nextGeneration(1), ACTIVE)
    table.setWord(1, active)
    expect(stripe.acquire(1, active)).toBe(true)
    const words = new Int32Array(table.buffer)
    // Of the words that have changed, the first after the states is the count.
    const count = words.findIndex((word, index) => index > 32 && word !== before[index])
    expect(words[count]).toBe(1)
    words[count] = 2 ** 30
    expect(() => stripe.acquire(1, active)).toThrow(expect.objectContaining({ code: 'ERR_MOUNT_REFERENCES' }))
    expect(table.total()).toBe(2 ** 30)
    stripe.release(1)
    expect(stripe.acquire(1, active)).toBe(true)
    expect(table.references(1)).toBe(2 ** 30)
  })

  test('69: the count of the table is the sum of all leases', async () => {
    const { table } = await serving(() => undefined)
    await table.mount('/b', 'two')
    const leases = ['/a', '/b', '/b'].map((path) => table.lookup(path)!)
    expect(table.references).toBe(3)
    const unmounted = table.unmount('/b')
    expect(table.references).toBe(3)
    for (const lease of leases) lease.release()
    await unmounted
    expect(table.references).toBe(0)
  })
})
