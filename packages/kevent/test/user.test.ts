import { describe, expect, test } from 'vitest'
import {
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ONESHOT,
  NOTE_FFAND,
  NOTE_FFCOPY,
  NOTE_FFNOP,
  NOTE_FFOR,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KEventChange, KQueue } from '../src/index.ts'
import { change, due, newQueue, refused } from './fixtures/queue.ts'

const name = { ident: 1, filter: EVFILT_USER }

const withKnote = (fields: Partial<KEventChange> = {}): KQueue => {
  const kq = newQueue()
  change(kq, { ...name, ...fields, flags: EV_ADD | (fields.flags ?? 0) })
  return kq
}

describe('USER', () => {
  test('U1: a trigger brings fflags, data and udata', () => {
    const kq = withKnote({ flags: EV_CLEAR })
    change(kq, { ...name, fflags: NOTE_TRIGGER | NOTE_FFCOPY | 5, data: 123, udata: 2 })
    expect(due(kq)).toEqual([{ ...name, flags: EV_CLEAR, fflags: 5, data: 123, udata: 2 }])
  })

  test('U2: with EV_CLEAR, once', () => {
    const kq = withKnote({ flags: EV_CLEAR })
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
  })

  test('and, or, copy, nop of the 24 flags', () => {
    const kq = withKnote({ flags: EV_CLEAR, fflags: NOTE_FFCOPY | 0xf0 })
    const steps = [
      [NOTE_FFOR | 0x0f, 0xff],
      [NOTE_FFAND | 0x3c, 0x3c],
      [NOTE_FFNOP | 0xff, 0x3c],
      [NOTE_FFCOPY | 1, 1],
    ]
    for (const [fflags, expected] of steps) {
      change(kq, { ...name, fflags: (fflags ?? 0) | NOTE_TRIGGER })
      expect(due(kq)).toMatchObject([{ fflags: expected }])
    }
  })

  test('U4: without EV_CLEAR it stays triggered', () => {
    const kq = withKnote()
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    for (let time = 0; time < 3; time++) expect(due(kq)).toHaveLength(1)
  })

  test('M2: of many thousands that are due, each comes before one comes again', () => {
    const kq = newQueue()
    const count = 10_000
    const trigger = { filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER }
    change(kq, ...Array.from({ length: count }, (_, ident) => ({ ...trigger, ident })))
    for (let time = 0; time < 3; time++) {
      expect(new Set(due(kq, 2 * count).map(({ ident }) => ident)).size).toBe(count)
    }
    const times = new Uint8Array(count)
    while (times.some((time) => time === 0)) {
      for (const { ident } of due(kq, 7)) times[ident] = (times[ident] ?? 0) + 1
    }
    expect(Math.max(...times)).toBeLessThanOrEqual(2)
    expect(kq.counters().ringHighWater).toBe(count)
  })

  test('U5: EV_CLEAR in a change of it resets it, even a trigger of the same change', () => {
    const kq = withKnote()
    change(kq, { ...name, fflags: NOTE_TRIGGER }, { ...name, flags: EV_CLEAR, fflags: NOTE_TRIGGER })
    expect(due(kq)).toEqual([])
  })

  test('U6: a trigger while it is disabled is delivered once it is enabled', () => {
    const kq = withKnote({ flags: EV_DISABLE })
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('EV_ENABLE and NOTE_TRIGGER in one change', () => {
    const kq = withKnote({ flags: EV_DISABLE })
    change(kq, { ...name, flags: EV_ENABLE, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
  })

  test('U7: EV_ONESHOT: once, with its flags and data, and then ENOENT', () => {
    const kq = withKnote({ flags: EV_ONESHOT })
    change(kq, { ...name, fflags: NOTE_TRIGGER | NOTE_FFCOPY | 3, data: 4 })
    expect(due(kq)).toMatchObject([{ fflags: 3, data: 4 }])
    expect(refused(kq, { ...name, fflags: NOTE_TRIGGER })).toBe('ENOENT')
  })

  test('U8: ten triggers are one event', () => {
    const kq = withKnote({ flags: EV_CLEAR })
    for (let time = 0; time < 10; time++) change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
  })

  test('EV_DISPATCH; a trigger while a handler holds it is delivered at EV_ENABLE', () => {
    const kq = withKnote({ flags: EV_DISPATCH | EV_CLEAR })
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toEqual([])
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
    change(kq, { ...name, fflags: NOTE_TRIGGER })
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('U10: NOTE_TRIGGER counts in the EV_ADD that makes it', () => {
    expect(due(withKnote({ fflags: NOTE_TRIGGER }))).toHaveLength(1)
  })

  test('any integer is an ident, and each is a knote of its own', () => {
    const kq = newQueue()
    const idents = [0, -1, 2 ** 40, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
    change(kq, ...idents.map((ident) => ({ ...name, ident, flags: EV_ADD, fflags: NOTE_TRIGGER })))
    expect(due(kq).map(({ ident }) => ident)).toEqual(idents)
    change(kq, ...idents.map((ident) => ({ ...name, ident, flags: EV_DELETE })))
    expect(due(kq)).toEqual([])
  })

  test('M2: of three that stay due, each has its turn', () => {
    const kq = newQueue()
    change(kq, ...[1, 2, 3].map((ident) => ({ ...name, ident, flags: EV_ADD, fflags: NOTE_TRIGGER })))
    const turns = Array.from({ length: 6 }, () => due(kq, 1)[0]!.ident)
    expect(turns).toEqual([1, 2, 3, 1, 2, 3])
  })

  test('ten thousand of them cost no descriptor', async () => {
    const { readdirSync } = await import('node:fs')
    const kq = newQueue()
    const before = readdirSync('/proc/self/fd').length
    const idents = Array.from({ length: 10_000 }, (_, ident) => ident)
    change(kq, ...idents.map((ident) => ({ ...name, ident, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })))
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(due(kq, 20_000).map(({ ident }) => ident)).toEqual(idents)
  })
})
