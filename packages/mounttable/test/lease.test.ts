import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'

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
})
