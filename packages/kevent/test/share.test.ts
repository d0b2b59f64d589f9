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
import type { Fifo } from './fixtures/fifo.ts'
import { change, codeOf, due, newFifo, newQueue } from './fixtures/queue.ts'
import { asleep, Crew, until } from './fixtures/workers.ts'

const crews: Crew[] = []
const start = (...parameters: ConstructorParameters<typeof Crew>): Crew => {
  const crew = new Crew(...parameters)
  crews.push(crew)
  return crew
}
afterEach(async () => {
  await Promise.all(crews.splice(0).map((crew) => crew.terminate()))
})

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
      test(`D13, D20: ${threads} threads (${role}), ${pairs} tokens: no overlap, no token lost`, async () => {
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

  test('D17: one thread holds an event; another, asleep, gets the next one', async () => {
    const kq = newQueue()
    change(kq, ...[1, 2].map((ident) => ({ ident, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH })))
    const holder = start(kq, 'holder', { then: 'spin' })
    await holder.next()
    trigger(kq, 1)
    expect((await holder.next()).events).toMatchObject([{ ident: 1 }])
    const other = start(kq, 'waiter')
    await other.next()
    trigger(kq, 2)
    expect((await other.next()).events).toMatchObject([{ ident: 2 }])
  })

  test('O18: a forced one-shot wakes a sleeper', async () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    const worker = start(kq, 'waiter')
    await worker.next()
    await asleep(kq, 1)
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_FORCEONESHOT })
    const flags = EV_DISPATCH | EV_ONESHOT | EV_FORCEONESHOT
    expect((await worker.next()).events).toMatchObject([{ ident: fifo.fd, flags }])
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
