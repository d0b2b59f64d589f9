import { expect, test } from 'vitest'
import { committedSchema } from '../src/take-over/protocol.ts'
import { RestartHistory } from '../src/take-over/restart-history.ts'
import * as v from 'valibot'

test('the newest 20 are kept, the newest first', () => {
  const history = new RestartHistory()
  for (let number = 1; number <= 25; number++) history.record({ failed: String(number) })
  expect(history.list().map(({ failed }) => failed)).toEqual(
    Array.from({ length: 20 }, (_, index) => String(25 - index)),
  )
  expect(history.list()[0]).toEqual({ at: expect.any(Number) as number, from: process.pid, failed: '25' })
})

test('a new process goes on with the list, and tells what has followed in its own restart only', () => {
  const history = new RestartHistory()
  const before = { at: 1, from: 1, to: 2, version: '1', connections: 3, stall: 1.5, followed: 4 }
  const own = { at: 2, from: 2, to: process.pid, version: '1', connections: 5, stall: 2 }
  history.goOn([own, before])
  history.followed(6)
  expect(history.list()).toEqual([{ ...own, followed: 6 }, before])
})

test('a process that keeps no list is understood, and so is one that tells more', () => {
  const counted = { counters: {}, mounts: [] }
  expect(v.parse(committedSchema, { counted })).toEqual({ counted, restarts: [] })
  const restarts = [{ at: 1, from: 1, failed: 'a', weather: 'fine' }]
  expect(v.parse(committedSchema, { counted, restarts, moon: 'full' })).toEqual({
    counted,
    restarts: [{ at: 1, from: 1, failed: 'a' }],
  })
})
