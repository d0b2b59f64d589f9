import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_TIMER,
  EVFILT_USER,
  EV_ADD,
  KEventList,
  KQueue,
  NOTE_ABSTIME,
} from '../src/index.ts'
import { change, newFifo, newQueue } from './fixtures/queue.ts'
import { asleep, Crew, until } from './fixtures/workers.ts'

const open = (): number => readdirSync('/proc/self/fd').length
const lists = (): { changes: KEventList; events: KEventList } => ({
  changes: new KEventList(1),
  events: new KEventList(1),
})

describe('descriptors', () => {
  test('a queue has two, and one more for each clock that its timers use', () => {
    const before = open()
    const kq = new KQueue()
    expect(open()).toBe(before + 2)
    const timer = { filter: EVFILT_TIMER, flags: EV_ADD, data: 2 ** 40 }
    for (let ident = 0; ident < 100; ident++)
      change(kq, { ...timer, ident }, { ...timer, ident, filter: EVFILT_USER, data: 0 })
    expect(open()).toBe(before + 3)
    for (let ident = 100; ident < 200; ident++) change(kq, { ...timer, ident, fflags: NOTE_ABSTIME })
    expect(open()).toBe(before + 4)
    kq.close()
    expect(open()).toBe(before)
  })

  test('waits, consumptions and their ends leave none', async () => {
    const first = newQueue()
    first.consume(lists(), () => 0).stop() // the process's sentinel has one, for good
    const before = open()
    for (let round = 0; round < 20; round++) {
      const kq = new KQueue()
      const other = KQueue.attach(kq.share())
      await kq.wait({ timeout: 1 })
      kq.consume(lists(), () => 0)
      other.consume(lists(), () => 0)
      kq.kevent(null, 1, 0.1)
      if (round % 2 === 0) other.release()
      kq.close()
      other.release()
    }
    await until(() => open() === before)
  })

  test('no watched descriptor is closed with the queue', () => {
    const [kq, fifo] = [new KQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    kq.close()
    fifo.write('x')
    expect(fifo.read(1)).toBe('x')
  })

  test('workers that are terminated leave none', async () => {
    const kq = newQueue()
    const cycle = async (): Promise<void> => {
      for (const role of ['waiter', 'consumer']) {
        const worker = new Crew(kq, role)
        const { slept } = kq.counters()
        await worker.next()
        await asleep(kq, slept + 1)
        await worker.terminate()
      }
    }
    await cycle()
    const before = open()
    for (let round = 0; round < 5; round++) await cycle()
    await until(() => open() <= before)
  })
})
