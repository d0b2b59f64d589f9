import { describe, expect, test } from 'vitest'
import { MountTable } from '../src/index.ts'
import { codeOf, TestWorker } from './fixtures/workers.ts'

const single = (): MountTable<string, string> => new MountTable<string, string>({ prepare: (spec) => spec })

describe('stop', () => {
  test('51: an idle table stops at once', async () => {
    const table = single()
    await table.mount('/a', 'one')
    await table.stop()
    expect(table.stopping).toBe(true)
    expect(table.list()).toEqual([])
  })

  test('52, 53: it waits for every lease in every thread; lookups find nothing meanwhile', async () => {
    using table = new MountTable()
    const worker = await TestWorker.start(table)
    await table.mount('/a', { name: 'one' })
    await table.mount('/b', { name: 'two' })
    const leases = [await worker.call('hold', '/a'), await worker.call('hold', '/b')]
    let stopped = false
    const stopping = table.stop().then(() => (stopped = true))
    expect(await worker.call('answer', '/a')).toBeUndefined()
    expect(await worker.call('stopping')).toBe(true)
    await worker.call('release', leases[0])
    expect(await worker.call('list')).toEqual([])
    expect(stopped).toBe(false)
    await worker.call('release', leases[1])
    await stopping
    expect(table.list()).toEqual([])
    await worker.terminate()
  })

  test('23, 54: mount and replace are refused, and those under way are ended', async () => {
    const table = new MountTable<string, string>({
      prepare: (spec) => (spec === 'slow' ? new Promise<string>(() => undefined) : spec),
    })
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const mounting = table.mount('/b', 'slow')
    const replacing = table.replace('/a', 'slow')
    const stopping = table.stop()
    expect(await codeOf(mounting)).toBe('ERR_MOUNT_STOPPING')
    expect(await codeOf(replacing)).toBe('ERR_MOUNT_STOPPING')
    expect(await codeOf(table.mount('/c', 'one'))).toBe('ERR_MOUNT_STOPPING')
    expect(await codeOf(table.replace('/a', 'one'))).toBe('ERR_MOUNT_STOPPING')
    lease.release()
    await stopping
  })

  test('55: a deadline lists the holders of all mounts', async () => {
    const table = single()
    await table.mount('/a', 'one')
    await table.mount('/b', 'two')
    const leases = [table.lookup('/a')!, table.lookup('/b')!, table.lookup('/b')!]
    const error = await table.stop({ deadline: 5 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'ERR_MOUNT_DRAIN_DEADLINE',
      holders: [
        { member: 0, count: 1 },
        { member: 0, count: 2 },
      ],
    })
    expect(error).toMatchObject({
      holders: [
        { prefix: '/a', generation: 1 },
        { prefix: '/b', generation: 2 },
      ],
      message: expect.stringContaining('member 0 holds 2 of /b') as string,
    })
    await table.stop({ force: true })
    for (const lease of leases) {
      expect(lease.signal.aborted).toBe(true)
      lease.release()
    }
  })

  test('56: stopping twice waits for the same', async () => {
    const table = single()
    await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const both = Promise.all([table.stop(), table.stop()])
    lease.release()
    await both
    await table.stop()
  })

  test('57: started again, the table is empty and gives new generations', async () => {
    const table = single()
    const before = await table.mount('/a', 'one')
    const lease = table.lookup('/a')!
    const stopping = table.stop()
    expect(() => {
      table.start()
    }).toThrow(expect.objectContaining({ code: 'ERR_MOUNT_STOPPING' }))
    lease.release()
    await stopping
    table.start()
    table.start()
    expect(table.stopping).toBe(false)
    expect(table.lookup('/a')).toBeUndefined()
    const after = await table.mount('/a', 'two')
    expect(after.generation).toBeGreaterThan(before.generation)
    expect(table.lookup('/a')?.handler).toBe('two')
  })

  test('57: stop() does not wait for what is mounted after it', async () => {
    const table = single()
    await table.mount('/a', 'one')
    await table.stop()
    const stopped = table.stop()
    table.start()
    const mounted = table.mount('/b', 'two')
    await stopped
    await mounted
    expect(table.lookup('/b')?.handler).toBe('two')
  })
})
