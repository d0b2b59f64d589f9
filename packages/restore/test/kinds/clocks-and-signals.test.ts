import { readSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  FdType,
  makeMessage,
  SignalfdEntrySchema,
  TimerfdEntrySchema,
  type TimerfdEntry,
} from '../../src/images/index.ts'
import { fown, ProcessSet } from '../fixtures/process-set.ts'

const MONOTONIC = 1
const O_NONBLOCK = 0o4000

const timer = (set: ProcessSet, given: Partial<TimerfdEntry>): number =>
  set.file(FdType.TIMERFD, (id) => ({
    tfd: makeMessage(TimerfdEntrySchema, {
      id,
      flags: 2,
      fown: fown(),
      clockid: MONOTONIC,
      ticks: 0n,
      settimeFlags: 0,
      vsec: 0n,
      vnsec: 0n,
      isec: 0n,
      insec: 0n,
      ...given,
    }),
  }))

/** Blocks until the timer has expired. */
const ticksOf = (fd: number): bigint => {
  const count = Buffer.alloc(8)
  readSync(fd, count)
  return count.readBigUInt64LE()
}

test('a timer goes on with the time that was left, also one that was set to a time of a clock', async () => {
  const set = new ProcessSet().process(100)
  set.hold(100, 3, timer(set, { vsec: 1000n, vnsec: 5n, isec: 7n }))
  set.hold(100, 4, timer(set, { vsec: 2000n, settimeFlags: 1, flags: 2 | O_NONBLOCK }))
  set.hold(100, 5, timer(set, { vsec: 3000n, settimeFlags: 3, clockid: 0 }))
  set.hold(100, 6, timer(set, { isec: 3n, clockid: 7 }))
  const restored = await set.restore()
  const state = (fd: number): string => restored.fdinfo(100, fd).replace(/^[^]*clockid/, 'clockid')
  expect(state(3)).toMatch(
    /^clockid: 1\nticks: 0\nsettime flags: 00\nit_value: \(999, \d+\)\nit_interval: \(7, 0\)/,
  )
  expect(state(4)).toMatch(/^clockid: 1\nticks: 0\nsettime flags: 01\nit_value: \(1999, \d+\)/)
  expect(state(5)).toMatch(/^clockid: 0\nticks: 0\nsettime flags: 03\nit_value: \(2999, \d+\)/)
  expect(state(6)).toMatch(
    /^clockid: 7\nticks: 0\nsettime flags: 00\nit_value: \(0, 0\)\nit_interval: \(3, 0\)/,
  )
  expect(restored.fdinfo(100, 4)).toMatch(/^flags:\s*04002$/m)
})

test('a timer that had expired has its ticks, and a periodic one runs again when they are read', async () => {
  const set = new ProcessSet().process(100)
  const ticks = 2n ** 40n
  set.hold(100, 3, timer(set, { ticks, insec: 2_000_000n }))
  set.hold(100, 4, timer(set, { ticks: 1n }))
  set.hold(100, 5, timer(set, { ticks: 4n, settimeFlags: 1, isec: 5000n }))
  const restored = await set.restore()
  expect(restored.fdinfo(100, 5)).toMatch(
    /ticks: 4\nsettime flags: 01\nit_value: \(0, 0\)\nit_interval: \(5000, 0\)/,
  )
  const periodic = restored.take(100, 3)
  // What it would have counted meanwhile is added by the read.
  expect(ticksOf(periodic.fd)).toBeGreaterThanOrEqual(ticks)
  expect(ticksOf(periodic.fd)).toBeGreaterThan(0n)
  expect(ticksOf(restored.take(100, 4).fd)).toBe(1n)
  expect(ticksOf(restored.take(100, 5).fd)).toBe(4n)
  expect(restored.fdinfo(100, 5)).toMatch(/ticks: 0\nsettime flags: 01\nit_value: \(49\d\d, \d+\)/)
})

test('a timer of an unknown clock, or with too many nanoseconds, is refused', () => {
  const set = new ProcessSet().process(100)
  set.hold(100, 3, timer(set, { clockid: 2 }))
  set.hold(100, 4, timer(set, { vnsec: 1_000_000_000n }))
  expect(set.problems()).toMatchObject([
    { reason: 'unknown-clock', pid: 100, fd: 3, file: 1 },
    { reason: 'bad-time', pid: 100, fd: 4, file: 2 },
  ])
})

test('a signalfd has its mask and flags, whoever shares it', async () => {
  const set = new ProcessSet().process(100).process(101, { ppid: 100 })
  const id = set.file(FdType.SIGNALFD, (own) => ({
    sgfd: makeMessage(SignalfdEntrySchema, {
      id: own,
      flags: 2 | O_NONBLOCK,
      fown: fown(),
      sigmask: (1n << 63n) | 0x4200n,
    }),
  }))
  set.hold(100, 3, id, { cloexec: true }).hold(101, 9, id)
  const restored = await set.restore()
  expect(restored.fdinfo(100, 3)).toMatch(/^flags:\s*02004002$[^]*^sigmask:\s*8000000000004200$/m)
  expect(restored.fdinfo(101, 9)).toMatch(/^flags:\s*04002$[^]*^sigmask:\s*8000000000004200$/m)
})
