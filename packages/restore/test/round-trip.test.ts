import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { notAlone } from './fixtures/alone.ts'
import { forest, Forests, textOf } from './fixtures/forest.ts'
import { without } from './fixtures/target.ts'

const rights = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_DAC_READ_SEARCH')
const unable = rights === '' ? notAlone : rights
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)

/** What images have no place for; and a peer that is nowhere but in its own queue, which nobody can look into. */
const refusals = new Set([
  'queue',
  'pending-connection',
  'pending-data',
  'pending-error',
  'lost-watch',
  'external-peer',
])

// What was once otherwise after it: each was found by the test below.
const found = {
  'an eventfd that counts as a semaphore': ['event 3 0 0 1'],
  'both ends of a pair, with FD_CLOEXEC': ['pair 3 4 1 0'],
  'an end of a pipe that was opened anew': ['pipe 3 3 0 0', 'again 3 3 0'],
  'a file without a name, in two tables': ['deleted 3 0 3 9', 'fork 0 0 0', 'end'],
  'a seqpacket socket that was shut down, and never connected': ['unix 3 0 2', 'shut 3 0'],
  'a stream whose peer was closed with something unread': ['pair 3 4 0 0', 'send 3 9 0 0', 'close 4'],
  'an epoll that watches one that another process has made': [
    ...['fifo 5 0 0 0', 'fork 0 0 0', 'epoll 4 0', 'watch 4 5 1 5', 'epoll 7 0', 'watch 7 4 8193 4'],
    ...['fork 0 1 1', 'end', 'pipe 5 6 0 0', 'end'],
  ],
  'an epoll whose watch is another file in one of its tables': [
    ...['fork 1 0 0', 'unix 12 1 0', 'epoll 11 0', 'watch 11 12 8193 12', 'fork 0 0 1', 'end', 'end'],
    'file 12 1 2 2',
  ],
  'a connection and a timer that are in flight only': [
    ...['tcp 3 5 0 0', 'timer 6 0 1 4000 70', 'pair 7 8 0 0', 'send 7 9 5 6', 'close 5', 'close 6'],
  ],
  'a child of a process that shares its table with another': [
    ...['fork 1 0 0', 'udp 7 0 0 0', 'fork 0 0 0', 'fork 0 0 0', 'end', 'end', 'end'],
    'unix 7 0 1',
  ],
}

let forests: Forests

describe.skipIf(unable !== '')(`a tree of processes that is dumped and restored${unable}`, () => {
  beforeAll(async () => {
    forests = new Forests()
    await forests.ready()
  })
  afterAll(() => forests[Symbol.asyncDispose]())

  test.each(Object.entries(found))('is as it was: %s', async (name, lines) => {
    const { dumps, ...said } = await forests.roundTrip(lines)
    expect(said).toEqual({ warnings: [] })
    expect(dumps?.[1]).toEqual(dumps?.[0])
  })

  const timeout = 60_000 + seconds * 1000
  test('is dumped once more as it was before, whatever it has', { timeout }, async () => {
    const seen = { same: 0, refused: 0 }
    const property = fc.asyncProperty(forest, async (operations) => {
      const { refused, failed, warnings, dumps } = await forests.roundTrip(operations)
      if (refused !== undefined) {
        seen.refused++
        expect(refused.filter(({ reason }) => !refusals.has(reason))).toEqual([])
        return
      }
      expect(failed, textOf(operations)).toBeUndefined()
      expect(warnings, textOf(operations)).toEqual([])
      expect(dumps?.[1], textOf(operations)).toEqual(dumps?.[0])
      seen.same++
    })
    const limits =
      seconds === 0
        ? // Always the same ones: new ones are for test:stress.
          { numRuns: 25, seed: 8, endOnFailure: true }
        : { numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false }
    await fc.assert(property, limits)
    // Most of them can be dumped.
    expect(seen.refused).toBeLessThan(Math.max(10, seen.same / 4))
    if (seconds > 0) console.log(seen)
  })
})
