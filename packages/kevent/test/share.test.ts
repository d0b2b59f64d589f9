import { afterEach, describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DISPATCH,
  EV_ENABLE,
  EV_FORCEONESHOT,
  EV_KEEPUDATA,
  EV_ONESHOT,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KEvent, KEventChange } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { change, codeOf, due, newFifo, newQueue } from './fixtures/queue.ts'
import { asleep, Crew, monotonic, summary, until } from './fixtures/workers.ts'

const crews: Crew[] = []
const start = (...parameters: ConstructorParameters<typeof Crew>): Crew => {
  const crew = new Crew(...parameters)
  crews.push(crew)
  return crew
}
afterEach(async () => {
  await Promise.all(crews.splice(0).map((crew) => crew.terminate()))
})

/** How a thread waits: what it is told to do, and how that is called. */
const modes = [
  ['waiter', 'blocking'],
  ['consumer', 'event loop'],
] as const

const trigger = (kq: KQueue, ident = 1): void => {
  change(kq, { ident, filter: EVFILT_USER, flags: EV_KEEPUDATA, fflags: NOTE_TRIGGER })
}

const tokensIn = (fifos: Fifo[]): number => {
  let tokens = 0
  for (const fifo of fifos) {
    try {
      tokens += fifo.read(64).length
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' })
    }
  }
  return tokens
}

const pingPong = async (role: string, threads: number, pairs: number, cycles: number): Promise<void> => {
  const kq = newQueue()
  const fifos = Array.from({ length: pairs * 2 }, newFifo)
  const int32 = (length: number): Int32Array => new Int32Array(new SharedArrayBuffer(length * 4))
  const shared = { peers: int32(4096), busy: int32(4096), totals: int32(3) }
  for (const [index, { fd }] of fifos.entries()) {
    shared.peers[fd] = fifos[index ^ 1]!.fd
    change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    if (index % 2 === 0) fifos[index]!.write('t')
  }
  const workers = Array.from({ length: threads }, () => start(kq, role, { shared }))
  for (let moved = 0; moved < cycles;) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    const now = Atomics.load(shared.totals, 0)
    expect(kq.held().length).toBeLessThanOrEqual(fifos.length)
    moved = now
  }
  Atomics.store(shared.totals, 2, 1)
  for (const worker of workers) expect(await worker.next()).toEqual({ done: true })
  expect(Atomics.load(shared.totals, 1)).toBe(0)
  expect(tokensIn(fifos)).toBe(pairs)
}

describe('threads that share a queue', () => {
  for (const role of ['blocking', 'loop']) {
    for (const [threads, pairs] of [
      [2, 2],
      [4, 8],
      [8, 2],
    ] as const) {
      test(`D13: ${threads} threads (${role}), ${pairs} tokens: no overlap, no token lost`, async () => {
        await pingPong(role, threads, pairs, 20_000)
      })
    }
  }

  test('U11: a trigger wakes a sleeper, and one only', async () => {
    const kq = newQueue()
    const workers = Array.from({ length: 4 }, () => start(kq, 'waiter'))
    for (const worker of workers) await worker.next()
    await asleep(kq, 4)
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })
    for (let round = 1; round <= 20; round++) {
      trigger(kq)
      await until(() => kq.counters().delivered === round)
    }
    // A thread that is not asleep at the moment needs no wake-up.
    expect(kq.counters().woken).toBeLessThanOrEqual(20)
    await until(() => workers.reduce((sum, worker) => sum + worker.waiting, 0) === 20)
  })

  /** Wakes a thread that is asleep, over and over; each event that it got, and the microseconds until it had it. */
  const wake = async (
    { kq, sleeper, rounds }: { kq: KQueue; sleeper: Crew; rounds: number },
    act: () => void,
  ): Promise<{ events: KEvent[]; latencies: number[] }> => {
    const [events, latencies] = [[] as KEvent[], [] as number[]]
    for (let round = 0; round < rounds; round++) {
      const { slept } = kq.counters()
      const start = monotonic()
      act()
      const message = await sleeper.next()
      events.push(...message.events!)
      latencies.push((message.at! - start) / 1000)
      await asleep(kq, slept + 1)
    }
    return { events, latencies }
  }

  /** A thread that has the event of ident 1 and keeps it without an end, and another that is asleep. */
  const holderAndSleeper = async (
    kq: KQueue,
    role: string,
  ): Promise<{ holder: Crew; holding: number; sleeper: Crew; sleeping: number }> => {
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH })
    const holder = start(kq, 'holder', { then: 'spin' })
    const holding = (await holder.next()).ready!
    trigger(kq, 1)
    expect((await holder.next()).events).toMatchObject([{ ident: 1 }])
    const { slept } = kq.counters()
    const sleeper = start(kq, role)
    const sleeping = (await sleeper.next()).ready!
    await asleep(kq, slept + 1)
    return { holder, holding, sleeper, sleeping }
  }

  for (const [role, mode] of modes) {
    test(`D17: one thread holds an event; another, asleep (${mode}), gets the next one`, async () => {
      const kq = newQueue()
      const { holder, holding, sleeper, sleeping } = await holderAndSleeper(kq, role)
      change(kq, { ident: 2, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH })
      const { events, latencies } = await wake({ kq, sleeper, rounds: 20 }, () => {
        change(kq, { ident: 2, filter: EVFILT_USER, flags: EV_ENABLE, fflags: NOTE_TRIGGER })
        expect(kq.held(holding)).toMatchObject([{ ident: 1 }])
      })
      expect(events.map(({ ident }) => ident)).toEqual(Array.from({ length: 20 }, () => 2))
      expect(kq.held(sleeping)).toMatchObject([{ ident: 2 }])
      expect(kq.held(holding)).toMatchObject([{ ident: 1 }])
      expect(holder.waiting).toBe(0)
      console.log(`D17 (${mode}): ${summary(latencies, 'µs')}`)
    })

    test(`O18: a forced one-shot wakes a thread that is asleep (${mode})`, async () => {
      const [kq, fifo] = [newQueue(), newFifo()]
      const { holder, holding, sleeper } = await holderAndSleeper(kq, role)
      const knote = { ident: fifo.fd, filter: EVFILT_READ }
      const { events, latencies } = await wake({ kq, sleeper, rounds: 100 }, () => {
        change(kq, { ...knote, flags: EV_ADD | EV_DISPATCH }, { ...knote, flags: EV_FORCEONESHOT })
      })
      expect(events).toHaveLength(100)
      for (const event of events)
        expect(event).toMatchObject({ ...knote, flags: EV_DISPATCH | EV_ONESHOT | EV_FORCEONESHOT })
      expect(kq.held()).toMatchObject([{ ident: 1, holder: holding }])
      expect(holder.waiting).toBe(0)
      console.log(`O18 (${mode}): ${summary(latencies, 'µs')}`)
    })

    test(`D16: threads that wait without a timeout (${mode}) get an event, whatever wakes them in vain`, async () => {
      const kq = newQueue()
      const names = [1, 2].map((ident) => ({ ident, filter: EVFILT_USER }))
      const [vain, real] = names as [KEventChange, KEventChange]
      change(kq, ...names.map((name) => ({ ...name, flags: EV_ADD | EV_CLEAR })))
      const workers = Array.from({ length: 4 }, () => start(kq, role, { max: 1 }))
      for (const worker of workers) await worker.next()
      await asleep(kq, 4)
      let triggers = 0
      for (let round = 0; round < 500 || kq.counters().stale < 100; round++) {
        // What wakes a thread is taken back before it can look.
        change(kq, { ...vain, fflags: NOTE_TRIGGER }, { ...vain, flags: EV_CLEAR })
        workers[round % 4]!.worker.postMessage('work for its loop, which interrupts its wait')
        if (round % 8 === 0) {
          change(kq, { ...real, fflags: NOTE_TRIGGER })
          await until(() => kq.counters().delivered > triggers)
          triggers = kq.counters().delivered
        } else await new Promise((resolve) => setImmediate(resolve))
      }
      const { delivered, stale, interrupted } = kq.counters()
      kq.close()
      let events = 0
      for (const worker of workers) {
        for (let message = await worker.next(); message.code === undefined; message = await worker.next()) {
          expect(message.events).toHaveLength(1)
          events++
        }
      }
      expect(events).toBe(delivered)
      expect(stale).toBeGreaterThanOrEqual(100)
      console.log(`D16 (${mode}): ${events} events, ${stale} times for nothing, ${interrupted} interrupts`)
    })
  }

  test('EV_ENABLE by another thread than the holder gives the event to whoever is next', async () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const knote = { ident: fifo.fd, filter: EVFILT_READ }
    change(kq, { ...knote, flags: EV_ADD | EV_DISPATCH, udata: 7 })
    const holder = start(kq, 'holder', { then: 'spin' })
    const holding = (await holder.next()).ready!
    fifo.write('x')
    expect((await holder.next()).events).toMatchObject([{ ...knote, data: 1 }])
    expect(due(kq)).toEqual([])
    expect(kq.held()).toMatchObject([{ ...knote, holder: holding }])
    change(kq, { ...knote, flags: EV_ENABLE | EV_KEEPUDATA })
    expect(kq.held()).toEqual([])
    expect(due(kq)).toMatchObject([{ ...knote, data: 1, udata: 7 }])
    expect(kq.held()).toMatchObject([{ ...knote, holder: kq.consumer }])
    const { slept } = kq.counters()
    const sleeper = start(kq, 'waiter')
    const sleeping = (await sleeper.next()).ready!
    await asleep(kq, slept + 1)
    change(kq, { ...knote, flags: EV_ENABLE, udata: 8 })
    expect((await sleeper.next()).events).toMatchObject([{ ...knote, data: 1, udata: 8 }])
    expect(kq.held()).toMatchObject([{ ...knote, holder: sleeping }])
    expect(holder.waiting).toBe(0)
  })

  test('D19: what a dead thread held is listed, and goes to another when it is enabled', async () => {
    for (const then of ['spin', 'wait', 'loop']) {
      const kq = newQueue()
      change(
        kq,
        { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH, udata: 8 },
        { ident: 2, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR },
      )
      const worker = start(kq, 'holder', { then })
      const consumer = (await worker.next()).ready!
      trigger(kq)
      await worker.next()
      expect(await worker.terminate()).toBeLessThan(1000)
      expect(kq.held(consumer)).toMatchObject([{ ident: 1, udata: 8, disabled: true, holder: consumer }])
      trigger(kq, 2)
      expect(due(kq)).toMatchObject([{ ident: 2 }])
      change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ENABLE | EV_KEEPUDATA, fflags: NOTE_TRIGGER })
      expect(due(kq)).toMatchObject([{ ident: 1, udata: 8 }])
      expect(kq.held()).toMatchObject([{ holder: kq.consumer }])
    }
  })

  test('D19: what a dead thread took with EV_CLEAR alone is not held, and comes to another when it is new', async () => {
    for (const then of ['spin', 'wait', 'loop']) {
      const [kq, fifo] = [newQueue(), newFifo()]
      change(
        kq,
        { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, udata: 8 },
        { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR, udata: 9 },
      )
      const worker = start(kq, 'holder', { then })
      await worker.next()
      trigger(kq)
      expect((await worker.next()).events).toMatchObject([{ ident: 1 }])
      await worker.terminate()
      expect(kq.held()).toEqual([])
      expect(kq.list().filter(({ disabled }) => disabled)).toEqual([])
      fifo.write('x')
      expect(due(kq)).toMatchObject([{ ident: fifo.fd, udata: 9, data: 1 }])
      trigger(kq)
      expect(due(kq)).toMatchObject([{ ident: 1, udata: 8 }])
      expect(due(kq)).toEqual([])
    }
  })

  // What came while it was being ended is held, due for others, or told of as an orphan: still to be had.
  for (const [role, mode] of modes) {
    test.each([
      ['EV_DISPATCH', EV_DISPATCH],
      ['EV_CLEAR', EV_CLEAR],
      ['level-triggered', 0],
      ['EV_ONESHOT', EV_ONESHOT],
    ])(
      `D19: a thread that is terminated while it waits (${mode}) takes no event with it: %s`,
      async (_, flags) => {
        let lost = 0
        for (let round = 0; round < 20; round++) {
          const kq = newQueue()
          change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | flags })
          const worker = start(kq, role)
          const consumer = (await worker.next()).ready!
          await asleep(kq, 1)
          const ended = worker.terminate()
          trigger(kq)
          await ended
          const [held, orphans] = [kq.held(consumer), kq.orphans()]
          if (worker.waiting + held.length + orphans.length + due(kq).length === 0) lost++
        }
        expect(lost).toBe(0)
      },
    )
  }

  test('X5: close by one thread ends the waits of all others with EBADF', async () => {
    const kq = new KQueue()
    const workers = Array.from({ length: 4 }, () => start(kq, 'waiter'))
    for (const worker of workers) await worker.next()
    await asleep(kq, 4)
    kq.close()
    for (const worker of workers) expect(await worker.next()).toEqual({ code: 'EBADF' })
  })

  test('X5: in the event loop the callback is told, once', async () => {
    const kq = new KQueue()
    const worker = start(kq, 'consumer')
    await worker.next()
    kq.close()
    expect(await worker.next()).toEqual({ code: -9 })
    expect(await worker.exited()).toBe(0) // nothing keeps it alive
    expect(worker.waiting).toBe(0)
  })

  test('a queue of another process, or one that is closed, is EBADF', () => {
    const kq = new KQueue()
    const handle = kq.share()
    expect(codeOf(() => KQueue.attach({ ...handle, pid: process.pid + 1 }))).toBe('EBADF')
    kq.close()
    expect(codeOf(() => KQueue.attach(handle))).toBe('EBADF')
    expect(codeOf(() => KQueue.attach({ ...handle, kqueue: 0.5 }))).toBe('EBADF')
  })

  test('the queue lives until its last thread lets go', () => {
    const kq = new KQueue()
    const other = KQueue.attach(kq.share())
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD })
    kq.release()
    trigger(other)
    expect(due(other)).toHaveLength(1)
    const handle = other.share()
    other.release()
    expect(codeOf(() => KQueue.attach(handle))).toBe('EBADF')
  })
})
