import { readdirSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { EVFILT_READ, KEventList } from '@x/kevent'
import { describe, expect, it } from 'vitest'
import {
  abandon,
  connections,
  counterNames,
  Engine,
  expired,
  inHand,
  listen,
  monotonicNow,
} from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
const path = (request: { path: string }): { body: string } => ({ body: request.path })
const never = (): Promise<void> => new Promise(() => undefined)

const counted = (server: Server): Record<string, number> =>
  Object.fromEntries(counterNames.map((name, i) => [name, server.engine.counters[i] ?? 0]))

describe('Engine', () => {
  it('answers pipelined requests in order, more than it holds at once', async () => {
    await using server = new Server(path, { batch: 4 })
    using client = await Client.open(server.port)
    const paths = Array.from({ length: 500 }, (_, i) => `/${i}`)
    await client.send(paths.map(get).join(''))
    for (const one of paths) expect((await client.next())?.body).toBe(one)
  })

  it('answers pipelined requests in order when handlers take turns to be late', async () => {
    await using server = new Server(async (request) => {
      if (Number(request.path.slice(1)) % 3 === 0) await new Promise(setImmediate)
      return path(request)
    })
    using client = await Client.open(server.port)
    const paths = Array.from({ length: 50 }, (_, i) => `/${i}`)
    await client.send(paths.map(get).join(''))
    for (const one of paths) expect((await client.next())?.body).toBe(one)
  })

  it('sends what it held back for a pipelined request whose handler is slow', async () => {
    let release: () => void = () => undefined
    const slow = new Promise<void>((resolve) => {
      release = resolve
    })
    await using server = new Server(async (request) => {
      if (request.path === '/slow') await slow
      return path(request)
    })
    using client = await Client.open(server.port)
    await client.send(get('/fast') + get('/slow'))
    expect((await client.next())?.body).toBe('/fast')
    release()
    expect((await client.next())?.body).toBe('/slow')
  })

  it('leaves what does not fit a batch in its sockets', async () => {
    await using server = new Server(path, { batch: 2 })
    const clients = await Promise.all(Array.from({ length: 40 }, () => Client.open(server.port)))
    await Promise.all(clients.map((client, i) => client.send(get(`/${i}`))))
    const answers = await Promise.all(clients.map((client) => client.next()))
    expect(answers.map((answer) => answer?.body)).toEqual(clients.map((_, i) => `/${i}`))
    for (const client of clients) client.destroy()
  })

  it('counts what it does, also on memory that is shared', async () => {
    const shared = new Float64Array(new SharedArrayBuffer(counterNames.length * 8))
    await using server = new Server((request) => ({ status: request.path === '/' ? 200 : 404 }), {
      counters: shared,
    })
    const before = counted(server)
    using client = await Client.open(server.port)
    await client.send(get())
    const first = await client.next()
    await client.send(get('/none'))
    await client.next()
    await client.send('nonsense\r\n\r\n')
    await client.next()
    await client.untilClosed()
    const after = counted(server)
    expect(before.requests).toBe(0)
    expect(after).toMatchObject({
      requests: 2,
      responses2xx: 1,
      responses4xx: 2,
      accepted: 1,
      parseErrors: 1,
    })
    expect(after.bytesIn).toBe(get().length + get('/none').length + 'nonsense\r\n\r\n'.length)
    expect(after.bytesOut).toBeGreaterThan(first?.head.length ?? 0)
  })

  it('closes an idle connection silently and a partial head with 408 when their time is over', async () => {
    await using server = new Server(path, { timeouts: { head: 20, idle: 20 } })
    using idle = await Client.open(server.port)
    using partial = await Client.open(server.port)
    await idle.send(get())
    await idle.next()
    await partial.send('GET / HT')
    const list = new Int32Array(16)
    for (let done = 0; done < 2;) {
      await new Promise(setImmediate)
      for (const descriptor of list.subarray(0, expired(monotonicNow(), list))) {
        if (!server.open.has(descriptor)) continue
        done += 1
        server.force(descriptor)
        await (done === 1 ? Promise.race([idle.untilClosed(), partial.untilClosed()]) : undefined)
      }
    }
    expect((await partial.next())?.status).toBe(408)
    await partial.untilClosed()
    await idle.untilClosed()
    expect(idle.rest).toBe('')
    expect(counted(server).timeouts).toBe(2)
  })

  it('leaves a connection alone whose deadline has not passed', async () => {
    await using server = new Server(path)
    using client = await Client.open(server.port)
    await client.send(get())
    await client.next()
    const [descriptor = -1] = server.open
    expect(server.engine.expire(descriptor)).toBe('alive')
    expect(server.engine.expire(descriptor, monotonicNow() + 100_000)).toBe('closed')
    await client.untilClosed()
  })

  it('abandons the request of a thread that is no more with 500', async () => {
    await using server = new Server(() => new Promise(() => undefined))
    using client = await Client.open(server.port)
    await client.send(get())
    while (connections().handling === 0) await new Promise(setImmediate)
    const [descriptor = -1] = server.open
    server.open.delete(descriptor)
    expect(abandon(descriptor)).toBe(true)
    expect(abandon(descriptor)).toBe(false)
    expect(await client.next()).toMatchObject({ status: 500 })
    await client.untilClosed()
  })

  it('abandons a request behind the responses that were held back for it', async () => {
    await using server = new Server((request) => {
      if (request.path === '/fast') return path(request)
      server.open.delete(request.descriptor)
      abandon(request.descriptor)
      return new Promise(() => undefined)
    })
    using client = await Client.open(server.port)
    await client.send(get('/fast') + get('/slow'))
    expect(await client.next()).toMatchObject({ status: 200, body: '/fast' })
    expect(await client.next()).toMatchObject({ status: 500 })
    await client.untilClosed()
  })

  it('abandons a response in its middle with a reset', async () => {
    await using server = new Server(() => ({
      body: (async function* () {
        yield 'begun'
        await never()
      })(),
    }))
    using client = await Client.open(server.port)
    await client.send('GET / HTTP/1.0\r\n\r\n')
    while (!client.rest.includes('begun')) await new Promise(setImmediate)
    const [descriptor = -1] = server.open
    server.open.delete(descriptor)
    expect(abandon(descriptor)).toBe(true)
    await client.untilClosed()
    expect(client.error).toBe('ECONNRESET')
  })

  it('knows the connections that another thread can take over', async () => {
    await using server = new Server((request) =>
      request.path === '/' ? path(request) : new Promise(() => undefined),
    )
    using client = await Client.open(server.port)
    await client.send(get())
    await client.next()
    const [descriptor = -1] = server.open
    expect(inHand(descriptor)).toBe(false)
    await client.send(get('/never'))
    while (connections().handling === 0) await new Promise(setImmediate)
    expect(inHand(descriptor)).toBe(true)
    expect(inHand(0)).toBe(false)
  })

  it('handles no more requests of a pipeline whose client is gone', async () => {
    let handled = 0
    let release: () => void = () => undefined
    const first = new Promise<void>((resolve) => {
      release = resolve
    })
    await using server = new Server(async (request) => {
      handled += 1
      await (handled === 1 ? first : new Promise(setImmediate))
      return path(request)
    })
    const client = await Client.open(server.port)
    await client.send(get().repeat(100))
    while (handled === 0) await new Promise(setImmediate)
    client.socket.resetAndDestroy()
    await client.untilClosed()
    release()
    while (server.open.size > 0) await new Promise(setImmediate)
    expect(handled).toBeLessThan(10)
  })

  it('accepts without waiting, and says why it stopped early', () => {
    using listener = listen({ host: '127.0.0.1', port: 0 })
    const engine = new Engine({ readable: never, writable: never })
    expect(engine.accept(listener.descriptor, 10)).toBe(0)
    expect(engine.acceptErrno).toBe(0)
    expect(engine.accept(99_999, 10)).toBe(0)
    expect(engine.acceptErrno).toBe(9)
  })

  it('refuses options that are unknown or out of range', () => {
    const base = { readable: never, writable: never }
    const wrong = [
      {},
      { readable: never },
      { ...base, batch: 0 },
      { ...base, retries: 1 },
      { ...base, counters: [] },
    ]
    for (const options of wrong) {
      expect(() => new Engine(options as never)).toThrow(
        expect.objectContaining({ code: 'ERR_HTTP_OPTION' }) as Error,
      )
    }
  })

  it('goes on with a connection that another engine has begun to read', async () => {
    using listener = listen({ host: '127.0.0.1', port: 0 })
    const engines = Array.from({ length: 3 }, () => new Engine({ readable: never, writable: never }))
    const [first, second, third] = engines as [Engine, Engine, Engine]
    using client = await Client.open(listener.port)
    expect(first.accept(listener.descriptor, 1)).toBe(1)
    const events = new KEventList(1)
    events.set(0, first.accepted[0] ?? -1, EVFILT_READ, 0)

    await client.send('GET /a HTTP/1.1\r\nHo')
    expect(first.read(events.bytes, 1)).toBe(0)
    expect(first.rearm.subarray(0, first.rearmCount)).toEqual(first.accepted.subarray(0, 1))
    expect(first.rearmDrained[0]).toBe(1)
    await client.send(`st: a\r\n\r\n${get('/b').slice(0, 10)}`)
    expect(second.read(events.bytes, 1)).toBe(1)
    expect(second.rearmCount).toBe(0)
    void second.respond(second.request(0), { body: second.request(0).path })
    expect(second.flush()).toBe(0)
    expect(second.rearmCount).toBe(1)
    expect((await client.next())?.body).toBe('/a')
    await client.send(get('/b').slice(10))
    expect(third.read(events.bytes, 1)).toBe(1)
    expect(third.request(0).path).toBe('/b')
    // Only the engine that has the request may answer it.
    const other = third.request(0)
    expect(() => first.respond(other, {})).toThrow(/that this engine made/)
    void third.respond(third.request(0), { headers: { connection: 'close' } })
    expect(third.flush()).toBe(0)
    await client.next()
    client.socket.end()
    await client.untilClosed()
    expect(third.read(events.bytes, 1)).toBe(0)
    expect(third.closing.subarray(0, third.closingCount)).toEqual(first.accepted.subarray(0, 1))
    third.closeListed()
    expect(third.close(first.accepted[0] ?? -1)).toBe(false)
  })

  it('leaves no descriptor behind', async () => {
    const count = (): number => readdirSync('/proc/self/fd').length
    // The first queue and the first connection load what stays loaded.
    for (let round = 0, before = 0; round < 3; round += 1) {
      {
        await using server = new Server(path)
        for (let i = 0; i < 20; i += 1) {
          using client = await Client.open(server.port)
          await client.send(i % 2 === 0 ? get() : 'nonsense\r\n\r\n')
          await client.next()
          client.socket.end()
          await client.untilClosed()
        }
      }
      await new Promise(setImmediate)
      if (round > 0) expect(count()).toBeLessThanOrEqual(before)
      before = count()
    }
  })

  it('works in worker threads, and survives their termination', async () => {
    const code = `
      import { parentPort } from 'node:worker_threads'
      const { Engine, listen } = await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)})
      const listener = listen({ host: '127.0.0.1', port: 0 })
      const engine = new Engine({ readable: () => new Promise(() => {}), writable: () => new Promise(() => {}) })
      parentPort.postMessage(listener.port)
      setInterval(() => engine.accept(listener.descriptor, 10), 1)
      process.on('exit', () => listener.close())`
    for (let round = 0; round < 5; round += 1) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
      const port = await new Promise<number>((resolve) => worker.once('message', resolve))
      using client = await Client.open(port)
      await client.send('GET / HT')
      await worker.terminate()
    }
    expect(connections().open).toBeGreaterThanOrEqual(0)
  })
})
