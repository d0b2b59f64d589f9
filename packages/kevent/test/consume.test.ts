import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { isMainThread, MessageChannel, Worker } from 'node:worker_threads'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_TIMER,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ERROR,
  EV_ONESHOT,
  KEventList,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { ConsumeLists, Consumption } from '../src/index.ts'
import { program } from './fixtures/program.ts'
import { change, codeOf, due, newFifo, newQueue, own } from './fixtures/queue.ts'
import { connect } from './fixtures/sockets.ts'
import { asleep, until } from './fixtures/workers.ts'

const newLists = (capacity = 8): ConsumeLists => ({
  changes: new KEventList(capacity),
  events: new KEventList(capacity),
})

const trigger = (kq: KQueue, ident = 1): void => {
  change(kq, { ident, filter: EVFILT_USER, fflags: NOTE_TRIGGER })
}

const withUser = (flags = EV_CLEAR): KQueue => {
  const kq = newQueue()
  change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | flags })
  return kq
}

/** What the rest of an event loop does; each is to be done soon, whoever waits in the loop's place. */
const work: Record<string, () => Promise<unknown>> = {
  timers: () => new Promise((resolve) => setTimeout(resolve, 5)),
  'many timers': () =>
    Promise.all(Array.from({ length: 50 }, (_, ms) => new Promise((go) => setTimeout(go, ms % 7)))),
  setImmediate: () => new Promise((resolve) => setImmediate(resolve)),
  promises: async () => {
    for (let turn = 0; turn < 100; turn++) await Promise.resolve()
  },
  'nextTick between immediates': async () => {
    for (let turn = 0; turn < 20; turn++) {
      await new Promise((resolve) =>
        setImmediate(() => {
          process.nextTick(resolve)
        }),
      )
    }
  },
  'child processes': () => once(spawn('true'), 'exit'),
  'output of a child process': async () => {
    const child = spawn('echo', ['hello'])
    expect(String((await once(child.stdout, 'data'))[0])).toBe('hello\n')
    await once(child, 'close')
  },
  MessagePorts: async () => {
    const { port1, port2 } = new MessageChannel()
    port2.on('message', (message) => {
      port2.postMessage(message)
    })
    port1.postMessage('to and fro')
    await once(port1, 'message')
    port1.close()
  },
  'messages of a worker': async () => {
    const worker = new Worker(`require('worker_threads').parentPort.postMessage(1)`, { eval: true })
    await once(worker, 'message')
    await worker.terminate()
  },
  'fs promises': () => readFile(import.meta.filename),
  'net sockets': async () => {
    const { near, far } = await connect()
    near.resume()
    for (let turn = 0; turn < 10; turn++) {
      far.write('x')
      await once(near, 'data')
    }
  },
  'many connections at once': async () => {
    const server = net.createServer((socket) => socket.end('bye')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    await Promise.all(
      Array.from({ length: 30 }, () => once(net.connect(port, '127.0.0.1').resume(), 'close')),
    )
    server.close()
  },
  'more bytes than a socket reads in one turn': async () => {
    const { near, far } = await connect()
    const size = 12 << 20
    let received = 0
    near.on('data', (bytes) => {
      received += bytes.length
    })
    far.end(Buffer.alloc(size))
    near.resume()
    await once(near, 'end')
    expect(received).toBe(size)
  },
  signals: async () => {
    if (!isMainThread) return // a worker thread gets none
    const got = once(process, 'SIGUSR2')
    process.kill(process.pid, 'SIGUSR2')
    await got
  },
}

describe('an idle consumption', () => {
  let consumption: Consumption
  let kq: KQueue
  beforeEach(async () => {
    kq = withUser()
    consumption = kq.consume(newLists(), () => 0)
    await asleep(kq, 1)
  })
  afterEach(() => {
    consumption.stop()
  })

  for (const [name, run] of Object.entries(work)) {
    test(`does not starve ${name}`, async () => {
      const start = performance.now()
      await run()
      expect(performance.now() - start).toBeLessThan(1000)
    })
  }

  test('uses no CPU', async () => {
    const before = process.cpuUsage()
    await new Promise((resolve) => setTimeout(resolve, 300))
    const { user, system } = process.cpuUsage(before)
    if (isMainThread) expect(user + system).toBeLessThan(100_000)
  })

  test('does not make timers late, or early', async () => {
    for (const ms of [1, 10, 50, 200]) {
      const start = performance.now()
      await new Promise((resolve) => setTimeout(resolve, ms))
      const took = performance.now() - start
      expect(took).toBeGreaterThanOrEqual(ms - 1)
      expect(took).toBeLessThan(ms + 30)
    }
  })
})

describe('a consumption that always has events', () => {
  for (const [name, run] of Object.entries(work)) {
    test(`does not starve ${name}`, async () => {
      const kq = newQueue()
      let count = 0
      change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
      using consumption = kq.consume(newLists(), (events) => {
        count += events
        return 0
      })
      const start = performance.now()
      await run()
      expect(performance.now() - start).toBeLessThan(2000)
      const before = count
      await until(() => count > before)
      consumption.stop()
    })
  }
})

describe('a loop that always has work', () => {
  test('does not starve a consumption', async () => {
    const [kq, fifo] = [withUser(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    let seen = 0
    const consumption = kq.consume(newLists(), (count) => {
      seen += count
      return 0
    })
    let spinning = true
    const spin = (): void => {
      if (spinning) setImmediate(spin)
    }
    spin()
    for (let round = 1; round <= 20; round++) {
      trigger(kq)
      fifo.write('x')
      const start = performance.now()
      while (seen < 2 * round) await new Promise((resolve) => setImmediate(resolve))
      expect(performance.now() - start).toBeLessThan(200)
    }
    spinning = false
    consumption.stop()
  })
})

describe('consume', () => {
  test('hands over events in batches, and applies the changes that the callback has left', async () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, udata: 3 })
    const lists = newLists()
    const seen: number[] = []
    const consumption = kq.consume(lists, (count) => {
      expect(count).toBe(1)
      expect(lists.events.at(0)).toMatchObject({ ident: fifo.fd, udata: 3 })
      seen.push(lists.events.data(0))
      fifo.read(1)
      lists.changes.set(0, fifo.fd, EVFILT_READ, EV_ENABLE, 0, 0, 3)
      return 1
    })
    fifo.write('abc')
    await until(() => seen.length === 3)
    expect(seen).toEqual([3, 2, 1])
    consumption.stop()
    consumption.stop()
  })

  test('a change that fails is an event of the next batch', async () => {
    const kq = withUser()
    const lists = newLists()
    const failed = new Promise((resolve) => {
      const consumption = kq.consume(lists, () => {
        if (lists.events.flags(0) === EV_ERROR) {
          consumption.stop()
          resolve(lists.events.at(0))
        }
        lists.changes.set(0, 77, EVFILT_USER, EV_ENABLE)
        return 1
      })
    })
    trigger(kq)
    expect(await failed).toMatchObject({ ident: 77, data: 2 })
  })

  test('changes of a callback that stops its consumption are applied', async () => {
    const kq = withUser(EV_DISPATCH)
    const lists = newLists()
    await new Promise<void>((resolve) => {
      const consumption = kq.consume(lists, () => {
        consumption.stop()
        lists.changes.set(0, 1, EVFILT_USER, EV_ENABLE)
        setImmediate(resolve)
        return 1
      })
      trigger(kq)
    })
    expect(kq.held()).toEqual([])
    expect(due(kq)).toHaveLength(1)
  })

  test('changes that the callback has left are applied by a stop() between two calls', async () => {
    const kq = withUser(EV_DISPATCH)
    const lists = newLists()
    const consumption = kq.consume(lists, () => {
      lists.changes.set(0, 1, EVFILT_USER, EV_ENABLE)
      queueMicrotask(() => {
        consumption.stop()
      })
      return 1
    })
    trigger(kq)
    await until(() => kq.counters().delivered === 1)
    await until(() => kq.held().length === 0)
    expect(due(kq)).toHaveLength(1)
  })

  test('stopped twice, it does not stop the next one', async () => {
    const kq = withUser()
    const first = kq.consume(newLists(), () => 0)
    first.stop()
    const next = kq.wait()
    first.stop()
    trigger(kq)
    expect(await next).toHaveLength(1)
  })

  test('three ends of one queue may be consumed in one thread', async () => {
    const kq = withUser(EV_CLEAR)
    const ends = [kq, own(KQueue.attach(kq.share())), own(KQueue.attach(kq.share()))]
    let calls = 0
    const count = (): number => {
      calls++
      return 0
    }
    for (const end of ends) end.consume(newLists(), count)
    trigger(kq)
    await until(() => calls === 1)
  })

  test('a list that can be taken away is EINVAL', () => {
    const kq = withUser()
    const [kept, taken] = [new KEventList(2), new KEventList(new ArrayBuffer(64))]
    for (const lists of [
      { changes: taken, events: kept },
      { changes: kept, events: taken },
    ]) {
      expect(codeOf(() => kq.consume(lists, () => 0))).toBe('EINVAL')
    }
  })

  test('of changes that fail, more than there is room for events are told of in parts', async () => {
    const kq = withUser()
    const lists = { changes: new KEventList(8), events: new KEventList(2) }
    const failed: number[] = []
    const consumption = kq.consume(lists, (count) => {
      const first = lists.events.flags(0) !== EV_ERROR
      for (let index = 0; index < count; index++) if (!first) failed.push(lists.events.ident(index))
      lists.changes.set(0, 1, EVFILT_USER, 0, NOTE_TRIGGER) // written over what is not applied yet
      for (let index = 0; first && index < 7; index++)
        lists.changes.set(index, 70 + index, EVFILT_USER, EV_ENABLE)
      return first && failed.length === 0 ? 7 : 0
    })
    trigger(kq)
    await until(() => failed.length === 7)
    expect(failed).toEqual([70, 71, 72, 73, 74, 75, 76])
    consumption.stop()
  })

  test('one at a time: a second one of the same KQueue is EBUSY; after stop() it is fine', () => {
    const kq = withUser()
    const consumption = kq.consume(newLists(), () => 0)
    expect(codeOf(() => kq.consume(newLists(), () => 0))).toBe('EBUSY')
    consumption.stop()
    kq.consume(newLists(), () => 0)[Symbol.dispose]()
  })

  test('what is no callback is EINVAL', () => {
    expect(codeOf(() => withUser().consume(newLists(), undefined as unknown as () => number))).toBe('EINVAL')
  })

  test('stopped, it calls no more; what was due stays for others', async () => {
    const kq = withUser()
    let calls = 0
    kq.consume(newLists(), () => ++calls).stop()
    trigger(kq)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(calls).toBe(0)
    expect(due(kq)).toHaveLength(1)
  })

  test('stopped and started again inside its own callback, over and over', async () => {
    const kq = withUser()
    let calls = 0
    const start = (): void => {
      const consumption = kq.consume(newLists(), () => {
        calls++
        consumption.stop()
        if (calls < 200) {
          start()
          trigger(kq)
        }
        return 0
      })
    }
    start()
    trigger(kq)
    await until(() => calls === 200)
    expect(due(kq)).toEqual([])
  })

  test('the queue closed, or released, inside the callback', async () => {
    for (const end of ['close', 'release'] as const) {
      const kq = withUser()
      let calls = 0
      kq.consume(newLists(), () => {
        calls++
        kq[end]()
        return 1
      })
      trigger(kq)
      await until(() => calls > 0)
      await new Promise((resolve) => setImmediate(resolve))
      expect(calls).toBe(1)
    }
  })

  test('two and more queues in one thread are all served, each while the others are idle', async () => {
    const queues = Array.from({ length: 5 }, () => withUser())
    const seen = queues.map(() => 0)
    const consumptions = queues.map((kq, index) =>
      kq.consume(newLists(), (count) => {
        seen[index]! += count
        return 0
      }),
    )
    for (let round = 1; round <= 5; round++) {
      for (const [index, kq] of queues.entries()) {
        trigger(kq)
        const start = performance.now()
        await until(() => seen[index] === round)
        expect(performance.now() - start).toBeLessThan(200)
      }
    }
    consumptions[0]!.stop() // the one that waited in the loop's place
    for (const [index, kq] of queues.entries()) {
      if (index === 0) continue
      trigger(kq)
      await until(() => seen[index] === 6)
    }
    queues[0]!.consume(newLists(), () => (seen[0]! += 10)).ref()
    trigger(queues[0]!)
    await until(() => seen[0]! >= 15)
    for (const kq of queues) kq.close()
  })

  test('two KQueues over one queue, both consumed in one thread', async () => {
    const kq = withUser()
    const other = KQueue.attach(kq.share())
    let seen = 0
    const consumptions = [kq, other].map((each) =>
      each.consume(newLists(), (count) => {
        seen += count
        return 0
      }),
    )
    for (let round = 1; round <= 20; round++) {
      trigger(kq)
      await until(() => seen === round)
    }
    for (const consumption of consumptions) consumption.stop()
    other.release()
  })

  test('a timer of the queue, a timer of the loop, side by side', async () => {
    const kq = newQueue()
    const order: string[] = []
    change(kq, { ident: 1, filter: EVFILT_TIMER, flags: EV_ADD | EV_ONESHOT, data: 40 })
    const consumption = kq.consume(newLists(), () => {
      order.push('queue')
      return 0
    })
    setTimeout(() => order.push('loop 10'), 10)
    setTimeout(() => order.push('loop 90'), 90)
    await until(() => order.length === 3)
    expect(order).toEqual(['loop 10', 'queue', 'loop 90'])
    consumption.stop()
  })

  test('a timer that the callback sets runs from now, not from before the wait', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_TIMER, flags: EV_ADD | EV_ONESHOT, data: 300 })
    const took = await new Promise<number>((resolve) => {
      const consumption = kq.consume(newLists(), () => {
        const start = performance.now()
        setTimeout(() => {
          resolve(performance.now() - start)
        }, 100)
        consumption.stop()
        return 0
      })
    })
    expect(took).toBeGreaterThanOrEqual(99)
  })

  test('blocking calls of the same KQueue between its callbacks', async () => {
    const kq = withUser()
    let seen = 0
    const consumption = kq.consume(newLists(), (count) => {
      seen += count
      return 0
    })
    for (let round = 1; round <= 5; round++) {
      expect(kq.kevent(null, 1, 5)).toEqual([])
      trigger(kq)
      expect(kq.kevent(null, 1, 1000)).toHaveLength(1)
      trigger(kq)
      await until(() => seen === round)
    }
    consumption.stop()
  })
})

describe('the life of a process', () => {
  test('ends by itself when only an unref’d consumption is left', async () => {
    expect(await program('kq.consume(lists(), () => 0).unref()')).toMatchObject({ code: 0, signal: null })
    const second = 'new k.KQueue().consume(lists(), () => 0).unref(); '
    expect(await program(`${second} kq.consume(lists(), () => 0).unref()`)).toMatchObject({ code: 0 })
  })

  test('does not end while a ref’d one is left, and ends when that stops', async () => {
    const source = `const c = kq.consume(lists(), (n) => { console.log('event', n); c.stop(); return 0 })
      c.unref(); c.ref()
      setTimeout(trigger, 100).unref()`
    expect(await program(source)).toMatchObject({ code: 0, output: 'event 1' })
  })

  test('an unref’d one is served for as long as something else keeps the process', async () => {
    const source = `kq.consume(lists(), (n) => { console.log('event', n); return 0 }).unref()
      setTimeout(trigger, 50); setTimeout(() => {}, 150)`
    expect(await program(source)).toMatchObject({ code: 0, output: 'event 1' })
  })

  test('process.exit() and the loss of all handles with live consumptions', async () => {
    const source = `kq.consume(lists(), () => 0); new k.KQueue().consume(lists(), () => 0); setTimeout(() => process.exit(4), 20)`
    expect(await program(source)).toMatchObject({ code: 4, signal: null })
  })

  test('a callback that throws is an uncaughtException, reported once, and does not end its consumption', async () => {
    const source = `let calls = 0
      process.on('uncaughtException', (error) => console.log(error.message))
      const c = kq.consume(lists(), () => { if (++calls < 4) throw new Error('number ' + calls); c.stop(); return 0 })
      const again = setInterval(() => { trigger(); if (calls === 4) clearInterval(again) }, 5)`
    expect(await program(source)).toMatchObject({ code: 0, output: 'number 1\nnumber 2\nnumber 3' })
    expect(await program(`kq.consume(lists(), () => { throw 1 }); trigger()`, '--no-warnings')).toMatchObject(
      { code: 1 },
    )
  })

  test('async work, microtasks and async context run in and after the callback', async () => {
    const source = `const c = kq.consume(lists(), () => {
        Promise.resolve().then(() => console.log('microtask')); process.nextTick(() => console.log('tick'))
        setImmediate(() => { console.log('immediate'); c.stop() }); return 0 })
      trigger()`
    expect(await program(source)).toMatchObject({ code: 0, output: 'tick\nmicrotask\nimmediate' })
  })

  test('a consumption lives on when nobody names its KQueue any more', async () => {
    const source = `const handle = kq.share(); let seen = 0
      const collected = new FinalizationRegistry(() => { seen -= 1000 })
      const start = () => { const other = k.KQueue.attach(handle); collected.register(other, 0); other.consume(lists(), () => { seen++; return 0 }) }
      start()
      for (let round = 0; round < 20; round++) { gc(); await new Promise((r) => setTimeout(r, 2)); trigger(); await new Promise((r) => setTimeout(r, 2)) }
      console.log(seen % 1000 === 20 || seen + 1000 === 20); process.exit()`
    expect(await program(source, '--expose-gc')).toMatchObject({ code: 0, output: 'true' })
  })

  // But for the last, which the engine may still know, and the descriptor that watches this process's loops.
  test('queues that nobody names are collected, with their descriptors', async () => {
    const source = `import { readdirSync } from 'node:fs'
      const count = () => readdirSync('/proc/self/fd').length
      const before = count()
      for (let i = 0; i < 50; i++) { const q = new k.KQueue(); q.consume(lists(), () => 0).stop() }
      for (let round = 0; round < 200 && count() > before + 3; round++) { gc(); await new Promise((r) => setTimeout(r, 1)) }
      console.log(count() - before <= 3)`
    expect(await program(source, '--expose-gc')).toMatchObject({ code: 0, output: 'true' })
  })
})
