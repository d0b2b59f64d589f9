import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ERROR,
  EV_RECEIPT,
  KEventList,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KEvent, KQueue } from '../src/index.ts'
import { program } from './fixtures/program.ts'
import { change, codeOf, due, newFifo, newQueue, refused } from './fixtures/queue.ts'

const bad = { ident: 1_000_000, filter: EVFILT_READ, flags: EV_ADD, udata: 7 }
const badResult = { ident: 1_000_000, filter: EVFILT_READ, flags: EV_ERROR, fflags: 0, data: 9, udata: 7 }
const receiptOf = (ident: number): KEvent => ({ ...badResult, ident, filter: EVFILT_USER, data: 0, udata: 0 })
const user = (ident: number, flags = 0): typeof bad => ({ ident, filter: EVFILT_USER, flags, udata: 0 })

const withReady = (): KQueue => {
  const kq = newQueue()
  change(kq, { ...user(1, EV_ADD | EV_CLEAR), fflags: NOTE_TRIGGER })
  return kq
}

describe('kevent', () => {
  test('C1, C2: a failed change is the whole answer, at once; what is due waits for the next call', () => {
    const kq = withReady()
    expect(kq.kevent([bad], 8)).toEqual([badResult])
    expect(newQueue().kevent([bad], 8)).toEqual([badResult])
    expect(due(kq)).toHaveLength(1)
  })

  test('C3: so is a receipt', () => {
    const [kq, idle] = [withReady(), newQueue()]
    for (const queue of [kq, idle])
      expect(queue.kevent([user(2, EV_ADD | EV_RECEIPT)], 8)).toEqual([receiptOf(2)])
    expect(due(kq)).toHaveLength(1)
    expect(due(idle)).toEqual([])
  })

  test('C4: without room the first failed change throws, and none behind it is applied', () => {
    const kq = withReady()
    expect(refused(kq, bad, user(1, EV_DELETE))).toBe('EBADF')
    expect(kq.list()).toHaveLength(1)
  })

  test('C5: without room for a receipt, 0, and none behind it is applied', () => {
    const kq = newQueue()
    expect(kq.kevent([user(1, EV_ADD | EV_RECEIPT), user(2, EV_ADD)])).toEqual([])
    expect(kq.list()).toMatchObject([{ ident: 1 }])
  })

  test('a receipt that finds no room ends the list; the answers before it are returned', () => {
    for (const [first, answer] of [
      [bad, badResult],
      [user(1, EV_ADD | EV_RECEIPT), receiptOf(1)],
    ] as const) {
      const kq = newQueue()
      const applied = [user(2, EV_ADD | EV_RECEIPT), user(3, EV_ADD)]
      expect(kq.kevent([first, ...applied], 1)).toEqual([answer])
      const idents = kq.list().map(({ ident }) => ident)
      expect(idents).toEqual(first === bad ? [2] : [1, 2])
    }
  })

  test('with room, changes behind a failed one are applied', () => {
    const kq = newQueue()
    expect(kq.kevent([bad, user(2, EV_ADD)], 1)).toEqual([badResult])
    expect(kq.list()).toMatchObject([{ ident: 2 }])
  })

  test('C7: negative room is EINVAL, once the changes are applied', () => {
    const kq = newQueue()
    expect(codeOf(() => kq.kevent([user(1, EV_ADD)], -1))).toBe('EINVAL')
    expect(kq.list()).toHaveLength(1)
    expect(codeOf(() => kq.kevent(null, -1, -1))).toBe('EINVAL')
  })

  // A number of milliseconds has no nanoseconds beside it that could be too many (C9): NaN is no time either.
  test('C8, C9, C10: a timeout that is none is EINVAL, once the changes are applied', () => {
    for (const timeout of [-1, -0.001, NaN, -Infinity]) {
      const kq = newQueue()
      expect(codeOf(() => kq.kevent([user(1, EV_ADD)], 1, timeout))).toBe('EINVAL')
      expect(kq.list()).toHaveLength(1)
      expect(kq.kevent([bad], 1, timeout)).toEqual([badResult]) // it does not come to a wait
      expect(kq.kevent(null, 0, timeout)).toEqual([])
    }
  })

  test('C11: without room it returns at once', () => {
    expect(newQueue().kevent(null)).toEqual([])
    expect(newQueue().kevent([], 0, 10_000)).toEqual([])
  })

  test('one list for changes and events, also for receipts', () => {
    const kq = newQueue()
    const list = new KEventList(2)
    for (const index of [0, 1])
      list.set(index, index + 1, EVFILT_USER, EV_ADD | EV_RECEIPT, NOTE_TRIGGER, 5, 6)
    expect(kq.keventList(list, 2, list, 2)).toBe(2)
    expect(list.toArray(2)).toMatchObject([
      { ident: 1, flags: EV_ERROR, fflags: 0, data: 0, udata: 6 },
      { ident: 2 },
    ])
    expect(kq.keventList(null, 0, list, 2)).toBe(2)
  })

  test('C13: what is returned has no flag that is an action', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_ENABLE | EV_DISPATCH | EV_CLEAR })
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ flags: EV_DISPATCH | EV_CLEAR }])
  })

  test('C14: two failed changes, one slot: the second throws', () => {
    const list = new KEventList(2)
    list.set(0, 1_000_000, EVFILT_READ, EV_ADD)
    list.set(1, 1, EVFILT_USER, EV_DELETE)
    const events = new KEventList(1)
    expect(codeOf(() => newQueue().keventList(list, 2, events, 1))).toBe('ENOENT')
    expect(events.at(0)).toMatchObject({ ident: 1_000_000, flags: EV_ERROR, data: 9 })
  })

  test('EV_RECEIPT given to EV_ADD is a flag of the knote, and comes with its events', () => {
    const kq = newQueue()
    kq.kevent([{ ...user(1, EV_ADD | EV_RECEIPT), fflags: NOTE_TRIGGER }], 1)
    expect(due(kq)).toMatchObject([{ flags: EV_RECEIPT }])
  })

  test('C16: a timeout is not early, and not late', () => {
    const kq = newQueue()
    for (const timeout of [50, 0.1]) {
      const start = performance.now()
      expect(kq.kevent(null, 1, timeout)).toEqual([])
      const took = performance.now() - start
      expect(took).toBeGreaterThanOrEqual(timeout)
      expect(took).toBeLessThan(timeout + 20)
    }
  })

  test('a timeout beyond 68 years waits for ever, and not for a moment', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: -7, flags: EV_ADD | 0x10, data: 20 })
    expect(kq.kevent(null, 1, Number.MAX_VALUE)).toHaveLength(1)
    change(kq, { ident: 1, filter: -7, flags: EV_ADD | 0x10, data: 20 })
    expect(kq.kevent(null, 1, Infinity)).toHaveLength(1)
  })

  test('C19: ten writes are one event', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    for (let time = 0; time < 10; time++) fifo.write('x')
    expect(due(kq)).toMatchObject([{ data: 10 }])
    expect(due(kq)).toEqual([])
  })

  test('a signal does not end the wait of a thread; its handler in JavaScript runs afterwards', async () => {
    const { output } = await program(`
      import { spawn } from 'node:child_process'
      process.on('SIGUSR1', () => { console.log('handler'); process.exit() })
      spawn('sh', ['-c', 'kill -USR1 ' + process.pid])
      const timer = { ident: 1, filter: k.EVFILT_TIMER, flags: k.EV_ADD | k.EV_ONESHOT, data: 500 }
      console.log(kq.kevent([timer], 1).length)
      setTimeout(() => undefined, 5000)`)
    expect(output).toBe('1\nhandler')
  })

  test('changes never take events: what was due before a change is due after it', () => {
    const kq = withReady()
    for (let time = 0; time < 100; time++) change(kq, user(2, EV_ADD), user(2, EV_DELETE))
    expect(due(kq)).toHaveLength(1)
  })
})
