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

let forests: Forests

describe.skipIf(unable !== '')(`a tree of processes that is dumped and restored${unable}`, () => {
  beforeAll(async () => {
    forests = new Forests()
    await forests.ready()
  })
  afterAll(() => forests[Symbol.asyncDispose]())

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
        ? { numRuns: 25 }
        : { numRuns: 1_000_000, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false }
    await fc.assert(property, limits)
    // Most of them can be dumped.
    expect(seen.refused).toBeLessThan(Math.max(10, seen.same / 4))
    if (seconds > 0) console.log(seen)
  })
})
