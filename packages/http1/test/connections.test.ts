import { isMainThread } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { connections, expired, limitConnectionsPerAddress, monotonicNow } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

// They count the connections of the process: as a thread, this file would count those of the others.
describe.skipIf(!isMainThread)('connections', () => {
  it('counts connections by what they are doing', async () => {
    let release: () => void = () => undefined
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    await using server = new Server(async (request) => {
      if (request.path === '/slow') await slow
      return { body: '' }
    })
    using idle = await Client.open(server.port)
    await idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await idle.next()
    await until(() => connections().idle === 1)
    using reading = await Client.open(server.port)
    await reading.send('GET / HTTP')
    await until(() => connections().reading === 1)
    using handling = await Client.open(server.port)
    await handling.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => connections().handling === 1)
    const none = { writing: 0, closing: 0, yielded: 0 }
    expect(connections()).toEqual({ open: 3, idle: 1, reading: 1, handling: 1, ...none })
    release()
    await handling.next()
    await until(() => connections().idle === 2)
  })
})

// As a thread, this file would bound those of the others.
describe.skipIf(!isMainThread)('limitConnectionsPerAddress', () => {
  it('has one that is too many told so before it asks, and the next one closed at once', async () => {
    await using server = new Server(() => ({ body: 'served' }))
    limitConnectionsPerAddress(1)
    try {
      using served = await Client.open(server.port)
      await served.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      expect((await served.next())?.body).toBe('served')
      using refused = await Client.open(server.port)
      const answer = await refused.next()
      expect([answer?.status, answer?.headers.get('connection')]).toEqual([503, 'close'])
      using dropped = await Client.open(server.port)
      expect(await dropped.next()).toBeUndefined()
    } finally {
      limitConnectionsPerAddress(undefined)
    }
    using another = await Client.open(server.port)
    await another.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await another.next())?.body).toBe('served')
  })

  it.each([0, -1, 1.5, 2_000_000])('refuses %j', (most) => {
    expect(() => {
      limitConnectionsPerAddress(most)
    }).toThrow(expect.objectContaining({ code: 'ERR_HTTP_OPTION' }))
  })
})

describe.skipIf(!isMainThread)('expired', () => {
  it('lists connections that wait, at most as many as there is room for, and none that is handled', async () => {
    await using server = new Server((request) =>
      request.path === '/slow' ? new Promise(() => undefined) : { body: '' },
    )
    const clients = await Promise.all(Array.from({ length: 3 }, () => Client.open(server.port)))
    using handling = await Client.open(server.port)
    await handling.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => connections().handling === 1 && connections().idle === 3)
    const list = new Int32Array(8)
    expect(expired(monotonicNow(), list)).toBe(0)
    expect(expired(monotonicNow() + 60_000, list)).toBe(3)
    expect(expired(monotonicNow() + 60_000, list.subarray(0, 2))).toBe(2)
    for (const client of clients) client.destroy()
  })
})
