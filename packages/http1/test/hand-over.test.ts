import { closeSync, openSync, readSync } from 'node:fs'
import { EVFILT_READ, KEventList } from '@x/kevent'
import { afterEach, describe, expect, it } from 'vitest'
import {
  adoptConnection,
  closeLedger,
  connections,
  connectionState,
  Engine,
  joinLedger,
  listen,
  openLedger,
  reinstate,
  releaseConnection,
  setHandingOver,
  takeBack,
  yielded,
} from '../src/index.ts'
import { Client } from './fixtures/client.ts'

const never = (): Promise<void> => new Promise(() => undefined)
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`

/** An engine, and one accepted connection of it. */
const open = async (): Promise<{
  engine: Engine
  client: Client
  descriptor: number
  read: () => number
}> => {
  const listener = listen({ host: '127.0.0.1', port: 0 })
  const engine = new Engine({ readable: never, writable: never })
  const client = await Client.open(listener.port)
  while (engine.accept(listener.descriptor, 1) === 0) await new Promise(setImmediate)
  listener.close()
  const descriptor = engine.accepted[0] as number
  const events = new KEventList(1)
  events.set(0, descriptor, EVFILT_READ, 0)
  return { engine, client, descriptor, read: () => engine.read(events.bytes, 1) }
}

const until = async (done: () => boolean): Promise<void> => {
  while (!done()) await new Promise(setImmediate)
}

afterEach(() => {
  setHandingOver(false)
})

describe('a connection that is handed over', () => {
  it('is yielded while it waits, and has its counters and what was read of a head', async () => {
    const { engine, client, descriptor, read } = await open()
    await client.send('GET / HT')
    await until(() => (read(), connections().reading === 1))
    expect(engine.yield(descriptor)).toBe(true)
    expect(engine.yields).toBe(1)
    expect(engine.yield(descriptor)).toBe(false)
    expect(connections().yielded).toBe(1)
    const list = new Int32Array(4)
    expect([yielded(list), list[0]]).toEqual([1, descriptor])
    expect(connectionState(descriptor)?.subarray(48).toString()).toBe('GET / HT')
    // Nothing is read of it any more.
    await client.send('TP/1.1\r\nHost: a\r\n\r\n')
    expect(read()).toBe(0)
    expect(reinstate(descriptor)).toBe(true)
    expect(engine.unparsed(descriptor)).toBe(true)
    await until(() => read() === 1)
    expect(engine.request(0).target).toBe('/')
    engine.close(descriptor)
    client[Symbol.dispose]()
  })

  it('is answered, and yielded before the request behind, which the next owner parses without an event', async () => {
    const { engine, client, descriptor, read } = await open()
    await client.send(get('/one') + get('/two') + 'GET /th')
    await until(() => read() === 1)
    setHandingOver(true)
    void engine.respond(engine.request(0), { status: 200, body: 'one' })
    expect(engine.flush()).toBe(0)
    expect(engine.rearmCount).toBe(0)
    expect((await client.next())?.body).toBe('one')
    const state = connectionState(descriptor)!
    setHandingOver(false)
    expect(() => {
      adoptConnection(descriptor, state)
    }).toThrow(expect.objectContaining({ code: 'EEXIST' }))
    expect(reinstate(descriptor)).toBe(true)
    expect(read()).toBe(1)
    expect(engine.request(0).target).toBe('/two')
    void engine.respond(engine.request(0), { status: 200, body: 'two' })
    engine.flush()
    expect((await client.next())?.body).toBe('two')
    engine.close(descriptor)
    client[Symbol.dispose]()
  })

  it('is answered by an engine that begins no more, which yields it to another thread with what waits behind', async () => {
    const { engine, client, descriptor, read } = await open()
    await client.send(get('/one') + get('/two'))
    await until(() => read() === 1)
    expect(engine.inHand).toBe(1)
    engine.beginNoMore()
    void engine.respond(engine.request(0), { status: 200, body: 'one' })
    expect(engine.flush()).toBe(0)
    expect([engine.inHand, engine.yields, engine.rearmCount]).toEqual([0, 1, 0])
    expect((await client.next())?.body).toBe('one')
    const other = new Engine({ readable: never, writable: never })
    const events = new KEventList(1)
    events.set(0, descriptor, EVFILT_READ, 0)
    expect(reinstate(descriptor)).toBe(true)
    expect(other.read(events.bytes, 1)).toBe(1)
    expect([engine.inHand, other.inHand]).toEqual([0, 1])
    void other.respond(other.request(0), { status: 200, body: 'two' })
    other.flush()
    expect((await client.next())?.body).toBe('two')
    expect(other.inHand).toBe(0)
    other.close(descriptor)
    client[Symbol.dispose]()
  })

  it('is not yielded while a request is in hand', async () => {
    const { engine, client, descriptor, read } = await open()
    await client.send(get('/'))
    await until(() => read() === 1)
    expect(engine.yield(descriptor)).toBe(false)
    expect(connectionState(descriptor)).toBeUndefined()
    expect(releaseConnection(descriptor)).toBe(false)
    expect(() => reinstate(descriptor)).toThrow(expect.objectContaining({ code: 'EBADF' }))
    engine.close(descriptor)
    client[Symbol.dispose]()
  })

  it('refuses a state of another version, and leaves the descriptor to its owner', () => {
    const file = openSync('/dev/null', 'r')
    expect(() => {
      adoptConnection(file, Buffer.alloc(48))
    }).toThrow(
      expect.objectContaining({
        code: 'EINVAL',
        message: expect.stringContaining('another version') as string,
      }),
    )
    closeSync(file)
  })
})

describe('a ledger', () => {
  afterEach(() => {
    closeLedger()
  })

  it('says how far each connection has got, for who has its memory', async () => {
    const { engine, client, descriptor, read } = await open()
    const ledger = openLedger(Int32Array.of(descriptor))
    const word = (): [standing: number, requests: number] => {
      const bytes = Buffer.alloc(8)
      readSync(ledger, bytes, 0, 8, 0)
      return [bytes[0]! & 3, Number(bytes.readBigUInt64LE() >> 2n)]
    }
    expect(read()).toBe(0)
    expect(word()).toEqual([0, 0])
    await client.send(get('/one') + 'GET /tw')
    await until(() => read() === 1)
    expect(word()[0]).toBe(1)
    void engine.respond(engine.request(0), { status: 200, body: 'one' })
    engine.flush()
    await client.next()
    // A part of the next one has been read, and is in this process only.
    expect(word()[0]).toBe(1)
    await client.send('o HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => read() === 1)
    void engine.respond(engine.request(0), { status: 200, body: 'two' })
    engine.flush()
    expect(word()).toEqual([2, 2])
    await client.next()
    expect(read()).toBe(0)
    expect(word()).toEqual([2, 2])
    engine.close(descriptor)
    expect(word()[0]).toBe(3)
    closeSync(ledger)
    client[Symbol.dispose]()
  })

  it('is refused of what is no connection; and what is no ledger takes nothing back', () => {
    expect(() => openLedger(Int32Array.of(0))).toThrow(expect.objectContaining({ code: 'EBADF' }))
    expect(joinLedger(0)).toBe(false)
    const file = openSync('/proc/self/exe', 'r')
    expect(() => takeBack(file, new Int32Array(0), 1000)).toThrow(expect.objectContaining({ code: 'EINVAL' }))
    closeSync(file)
  })
})
