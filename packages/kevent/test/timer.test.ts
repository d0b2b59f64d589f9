import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_TIMER,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ONESHOT,
  NOTE_ABSTIME,
  NOTE_MSECONDS,
  NOTE_NSECONDS,
  NOTE_SECONDS,
  NOTE_USECONDS,
} from '../src/index.ts'
import { change, due, newQueue, refused } from './fixtures/queue.ts'

const name = { ident: 1, filter: EVFILT_TIMER }

/** Keeps the thread, and with it the queue, from doing anything for `ms`. */
const block = (ms: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

describe('TIMER', () => {
  test('T1, T2: a negative span, unknown fflags and two units are EINVAL', () => {
    const kq = newQueue()
    for (const fields of [{ data: -1 }, { fflags: 0x20 }, { fflags: NOTE_SECONDS | NOTE_MSECONDS }]) {
      expect(refused(kq, { ...name, flags: EV_ADD, ...fields })).toBe('EINVAL')
    }
    expect(kq.list()).toEqual([])
  })

  test('T3: a periodic timer counts its expirations, each of them once', () => {
    const kq = newQueue()
    const period = 10
    const asked = performance.now()
    change(kq, { ...name, flags: EV_ADD, data: period })
    const begun = performance.now()
    // However busy the machine is: between what had passed before a reading and what had after it.
    let counted = 0
    const readings = [105, 30, 50].map((pause) => {
      block(pause)
      const least = Math.floor((performance.now() - begun) / period)
      const event = kq.kevent(null, 1, 1000)[0]!
      const most = Math.floor((performance.now() - asked) / period)
      counted += event.data
      expect(counted).toBeGreaterThanOrEqual(least)
      expect(counted).toBeLessThanOrEqual(most)
      return event
    })
    expect(readings.every(({ flags, data }) => flags === EV_CLEAR && data >= 1)).toBe(true)
  })

  test('T4: EV_ADD drops what it counted, and starts anew', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD, data: 5 })
    block(20)
    change(kq, { ...name, flags: EV_ADD, data: 3600, fflags: NOTE_SECONDS })
    expect(due(kq)).toEqual([])
  })

  test('EV_DELETE drops what it counted', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD, data: 5 })
    block(20)
    change(kq, { ...name, flags: EV_DELETE })
    expect(due(kq)).toEqual([])
  })

  test('T6: ONESHOT of 0 fires at once', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD | EV_ONESHOT })
    expect(due(kq)).toMatchObject([{ data: 1 }])
  })

  test('T7: a period of 0 is one of 1 unit, also in an EV_ADD that names ONESHOT in vain', () => {
    const kq = newQueue()
    for (const flags of [0, EV_ONESHOT]) {
      change(kq, { ...name, flags: EV_ADD | flags, data: 0 })
      for (let time = 0; time < 3; time++) {
        expect(kq.kevent(null, 1, 1000)[0]!.data).toBeGreaterThanOrEqual(1)
      }
    }
  })

  test('T8: it counts while a handler holds it', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD | EV_DISPATCH, data: 5 })
    expect(kq.kevent(null, 1, 1000)).toHaveLength(1)
    block(30)
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)[0]!.data).toBeGreaterThanOrEqual(5)
  })

  // The machine may be busy for a tenth of a second: the third time must do.
  test('T9: two seconds in four units', { retry: 2 }, () => {
    const kq = newQueue()
    const units = [
      [2, NOTE_SECONDS],
      [2e3, NOTE_MSECONDS],
      [2e6, NOTE_USECONDS],
      [2e9, NOTE_NSECONDS],
    ] as const
    const start = performance.now()
    change(
      kq,
      ...units.map(([data, fflags], ident) => ({ ...name, ident, flags: EV_ADD | EV_ONESHOT, fflags, data })),
    )
    const fired: number[] = []
    while (fired.length < units.length) {
      for (const event of kq.kevent(null, 4, 5000)) {
        expect(event.data).toBe(1)
        fired.push(event.ident)
      }
      expect(performance.now() - start).toBeGreaterThanOrEqual(2000)
    }
    expect(performance.now() - start).toBeLessThan(2100)
    expect(fired.sort()).toEqual([0, 1, 2, 3])
  })

  test('T10: ABSTIME fires at its time, at once if that has passed', () => {
    const kq = newQueue()
    const at = Date.now() + 150
    change(kq, { ...name, flags: EV_ADD | EV_ONESHOT, fflags: NOTE_ABSTIME | NOTE_USECONDS, data: at * 1000 })
    expect(due(kq)).toEqual([])
    expect(kq.kevent(null, 1, 5000)).toMatchObject([{ flags: EV_ONESHOT, data: 1 }])
    expect(Date.now()).toBeGreaterThanOrEqual(at)
    change(kq, { ...name, flags: EV_ADD | EV_ONESHOT, fflags: NOTE_ABSTIME | NOTE_SECONDS, data: 1 })
    expect(due(kq)).toMatchObject([{ data: 1 }])
  })

  test('ABSTIME without ONESHOT fires once for each EV_ADD, and stays due until it is set anew', () => {
    const kq = newQueue()
    const timer = { ...name, flags: EV_ADD, fflags: NOTE_ABSTIME | NOTE_MSECONDS }
    const later = Date.now() + 3_600_000
    for (let round = 0; round < 2; round++) {
      const at = Date.now() + 50
      change(kq, { ...timer, data: at })
      expect(due(kq)).toEqual([])
      expect(kq.kevent(null, 1, 5000)).toMatchObject([{ flags: 0, data: 1 }])
      expect(Date.now()).toBeGreaterThanOrEqual(at)
      block(5)
      for (let time = 0; time < 3; time++) expect(due(kq)).toMatchObject([{ flags: 0, data: 1 }])
      change(kq, { ...timer, data: later })
      expect(due(kq)).toEqual([])
    }
    change(kq, { ...timer, data: 1 })
    expect(due(kq)).toMatchObject([{ data: 1 }]) // its time has passed
    change(kq, { ...name, flags: EV_DELETE })
    expect(due(kq)).toEqual([])
  })

  test('ABSTIME with EV_CLEAR fires once for each EV_ADD, and is cleared by its delivery', () => {
    const kq = newQueue()
    const timer = { ...name, flags: EV_ADD | EV_CLEAR, fflags: NOTE_ABSTIME | NOTE_MSECONDS }
    for (let round = 0; round < 2; round++) {
      change(kq, { ...timer, data: Date.now() + 20 })
      expect(kq.kevent(null, 1, 5000)).toMatchObject([{ flags: EV_CLEAR, data: 1 }])
      expect(kq.kevent(null, 1, 5)).toEqual([])
    }
  })

  test('T12: ONESHOT fires once, and then is gone', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD | EV_ONESHOT, data: 10 })
    expect(kq.kevent(null, 1, 1000)).toMatchObject([{ data: 1 }])
    expect(refused(kq, { ...name, flags: EV_DELETE })).toBe('ENOENT')
    expect(kq.kevent(null, 1, 30)).toEqual([])
  })

  // The longer second span is that of a periodic timer: a thread that gets its turn late still sees one expiration.
  test.each([
    ['a one-shot', EV_ONESHOT, 1000],
    ['periodic', 0, 100_000],
  ])('T13: %s, set anew around its time: one event, of the new time', (_, flags, span) => {
    const kq = newQueue()
    const timer = { ...name, flags: EV_ADD | flags, fflags: NOTE_USECONDS }
    for (let delay = 0.5; delay < 1.55; delay += 0.1) {
      change(kq, { ...timer, data: 1000 })
      block(delay)
      const set = performance.now()
      change(kq, { ...timer, data: span })
      expect(kq.kevent(null, 8, 5000)).toMatchObject([{ data: 1 }])
      expect(performance.now() - set).toBeGreaterThanOrEqual(span / 1000)
      expect(kq.kevent(null, 8, 3)).toEqual([])
    }
    expect(kq.list()).toHaveLength(flags === EV_ONESHOT ? 0 : 1)
  })

  test('disabled it goes on; from absolute to relative and back it is one knote', () => {
    const kq = newQueue()
    change(kq, { ...name, flags: EV_ADD | EV_DISABLE, data: 5 })
    expect(kq.kevent(null, 1, 20)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)[0]!.data).toBeGreaterThanOrEqual(3)
    change(kq, { ...name, flags: EV_ADD, fflags: NOTE_ABSTIME | NOTE_SECONDS, data: 2 ** 33 })
    expect(kq.kevent(null, 1, 20)).toEqual([])
    change(kq, { ...name, flags: EV_ADD, data: 5 })
    expect(kq.kevent(null, 1, 1000)).toHaveLength(1)
    expect(kq.list()).toHaveLength(1)
  })

  test('T15: the same ident in two queues', () => {
    const [one, other] = [newQueue(), newQueue()]
    change(one, { ...name, flags: EV_ADD | EV_ONESHOT, data: 1 })
    change(other, { ...name, flags: EV_ADD | EV_ONESHOT, data: 3600, fflags: NOTE_SECONDS })
    expect(one.kevent(null, 1, 1000)).toHaveLength(1)
    expect(due(other)).toEqual([])
  })

  test('T16: five thousand timers', () => {
    const kq = newQueue()
    const idents = Array.from({ length: 5000 }, (_, ident) => ident)
    change(kq, ...idents.map((ident) => ({ ...name, ident, flags: EV_ADD | EV_ONESHOT, data: ident % 20 })))
    const fired = new Set<number>()
    while (fired.size < 5000) {
      const events = kq.kevent(null, 512, 1000)
      expect(events.length).toBeGreaterThan(0)
      for (const { ident } of events) {
        expect(fired.has(ident)).toBe(false)
        fired.add(ident)
      }
    }
  })

  test('one-shots fire in the order of their times, however they were set and removed', () => {
    const timers = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(timers, fc.infiniteStream(fc.boolean()), (spans, removals) => {
        const kq = newQueue()
        const set = spans.map((span) => ({ ...name, ident: span, fflags: NOTE_USECONDS, data: span * 500 }))
        change(kq, ...set.map((timer) => ({ ...timer, flags: EV_ADD | EV_ONESHOT })))
        const removed = set.filter(() => removals.next().value)
        change(kq, ...removed.map((timer) => ({ ...timer, flags: EV_DELETE })))
        const left = spans.filter((span) => !removed.some(({ ident }) => ident === span))
        const fired = left.flatMap(() => kq.kevent(null, 1, 1000).map(({ ident }) => ident))
        kq.close()
        expect(fired).toEqual(left.sort((a, b) => a - b))
      }),
      { numRuns: 20 },
    )
  })
})
