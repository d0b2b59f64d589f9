import { afterEach, describe, expect, test } from 'vitest'
import {
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DISPATCH,
  EV_ENABLE,
  EV_KEEPUDATA,
  NOTE_TRIGGER,
} from '../src/index.ts'
import { change, due, newQueue } from './fixtures/queue.ts'
import { asleep, Crew, summary, until } from './fixtures/workers.ts'

const crews: Crew[] = []
const start = (...parameters: ConstructorParameters<typeof Crew>): Crew => {
  const crew = new Crew(...parameters)
  crews.push(crew)
  return crew
}
afterEach(async () => {
  await Promise.all(crews.splice(0).map((crew) => crew.terminate()))
})

/** "Well under a second", on a machine that is busy with other tests. */
const SOON = 500

describe('Worker.terminate()', () => {
  test('ends a blocking kevent() without a timeout', async () => {
    for (let round = 0; round < 10; round++) {
      const kq = newQueue()
      const worker = start(kq, 'waiter')
      await worker.next()
      await asleep(kq, 1)
      expect(await worker.terminate()).toBeLessThan(SOON)
    }
  })

  // The target is 50 ms, of which a busy machine may need more for the end of a thread.
  test('of a worker that blocks in kevent() resolves', async () => {
    const took: number[] = []
    for (let round = 0; round < 20; round++) {
      const kq = newQueue()
      const worker = start(kq, 'waiter')
      await worker.next()
      await asleep(kq, 1)
      took.push(await worker.terminate())
      expect(await worker.exited()).toBe(1)
    }
    console.log(`Worker.terminate() in kevent(): ${summary(took, 'ms')}; the target is 50 ms`)
  })

  test('ends the one that it is meant for, of many that sleep', async () => {
    const kq = newQueue()
    const workers = Array.from({ length: 6 }, () => start(kq, 'waiter'))
    for (const worker of workers) await worker.next()
    await asleep(kq, 6)
    for (const worker of workers) expect(await worker.terminate()).toBeLessThan(SOON)
  })

  test('ends one whose loop has had work to do for as long as it blocks', async () => {
    const kq = newQueue()
    const worker = start(kq, 'nested')
    await worker.next()
    await until(() => kq.counters().interrupted > 0)
    expect(await worker.terminate()).toBeLessThan(SOON)
  })

  test('does not disturb those who wait on', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })
    const [one, other] = [start(kq, 'waiter'), start(kq, 'waiter')]
    await Promise.all([one.next(), other.next()])
    await asleep(kq, 2)
    await one.terminate()
    const { interrupted } = kq.counters()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_KEEPUDATA, fflags: NOTE_TRIGGER })
    expect((await other.next()).events).toHaveLength(1)
    expect(kq.counters().interrupted).toBe(interrupted)
  })

  test('ends a consumption that waits in the place of the loop', async () => {
    for (let round = 0; round < 10; round++) {
      const kq = newQueue()
      const worker = start(kq, 'consumer')
      await worker.next()
      await asleep(kq, 1)
      expect(await worker.terminate()).toBeLessThan(SOON)
      change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_TRIGGER })
      expect(due(kq)).toHaveLength(1) // nobody else is there to take it
    }
  })

  test('ends a callback that never returns; its events stay held', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH | EV_CLEAR })
    const worker = start(kq, 'consumer', { then: 'spin' })
    const consumer = (await worker.next()).ready!
    change(kq, { ident: 1, filter: EVFILT_USER, fflags: NOTE_TRIGGER })
    await until(() => kq.held().length === 1)
    expect(await worker.terminate()).toBeLessThan(SOON)
    expect(kq.held(consumer)).toHaveLength(1)
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ENABLE, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
  })

  test('at any moment of a busy consumption loses no knote', async () => {
    const kq = newQueue()
    const idents = Array.from({ length: 32 }, (_, ident) => ident)
    change(kq, ...idents.map((ident) => ({ ident, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH })))
    for (let round = 0; round < 12; round++) {
      const worker = start(kq, 'consumer')
      if (round % 3 > 0) await worker.next()
      if (round % 3 > 1) await asleep(kq, 1)
      for (const ident of idents)
        change(kq, { ident, filter: EVFILT_USER, flags: EV_ENABLE, fflags: NOTE_TRIGGER })
      await worker.terminate()
      // Each is either held by the dead, or still to be had.
      const held = kq.held().map(({ ident }) => ident)
      const left = due(kq, 64).map(({ ident }) => ident)
      expect([...held, ...left].sort((a, b) => a - b)).toEqual(idents)
      expect(new Set([...held, ...left]).size).toBe(32)
    }
  })
})

describe('the end of a worker by itself', () => {
  test('process.exit() in the callback', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })
    const worker = start(kq, 'consumer', { then: 'exit' })
    await worker.next()
    change(kq, { ident: 1, filter: EVFILT_USER, fflags: NOTE_TRIGGER })
    expect(await worker.exited()).toBe(0)
  })

  test('process.exit() right after consume()', async () => {
    const worker = start(newQueue(), 'consumer', { then: 'exit now' })
    expect(await worker.exited()).toBe(0)
  })

  test('an uncaught exception in the callback is the worker’s error', async () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })
    const worker = start(kq, 'consumer', { then: 'throw' })
    const failed = new Promise((resolve) => worker.worker.on('error', resolve))
    await worker.next()
    change(kq, { ident: 1, filter: EVFILT_USER, fflags: NOTE_TRIGGER })
    expect(await failed).toMatchObject({ message: 'of the callback' })
  })

  test('a thread that only attached ends, and the queue stays', async () => {
    const kq = newQueue()
    expect(await start(kq, 'leaver').exited()).toBe(0)
    expect(due(kq)).toEqual([])
  })
})
