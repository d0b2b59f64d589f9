import { beforeAll, describe, expect, test } from 'vitest'
import { checkHistory, type History } from './linearizability.ts'
import { longestRun, runStress, type Report } from './run.ts'

/** How long it runs; `pnpm test:stress` makes it 60. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 3)

describe('stress', () => {
  let report: Report
  let history: History

  const failuresOf = (...numbers: string[]): string[] =>
    report.failures.filter((failure) => numbers.includes(failure.slice(0, failure.indexOf(':'))))
  const count = (name: string): number => report[name] as number

  beforeAll(
    async () => {
      ;({ report, history } = await runStress({ seconds }))
    },
    longestRun(seconds) + 20_000,
  )

  test('69: at every moment of standstill the reference words of each slot add up to its live leases', () => {
    expect(failuresOf('69')).toEqual([])
    expect(count('quiescentPoints')).toBeGreaterThanOrEqual(Math.floor(seconds))
    expect(count('quiescentLeases')).toBeGreaterThan(0)
  })

  test('70: nothing is cleaned up while it is held, unless by force', () => {
    expect(failuresOf('70')).toEqual([])
    expect(count('hits')).toBeGreaterThan(0)
  })

  test('71: each generation that was mounted is cleaned up once, neither never nor twice', () => {
    expect(failuresOf('71')).toEqual([])
    expect(count('cleanups')).toBe(count('generations'))
  })

  test('72: no lookup finds a generation below the floor that was published before it began', () => {
    expect(failuresOf('72')).toEqual([])
    expect(count('replacements') + count('unmounts')).toBeGreaterThan(0)
  })

  test('73: after stop all words are 0', () => {
    expect(failuresOf('73')).toEqual([])
    expect(count('stops')).toBeGreaterThanOrEqual(3)
    expect(count('wordsReadAfterStop')).toBeGreaterThan(0)
  })

  test('74: all that with workers that are terminated, exit and leave at any moment, and with force', () => {
    expect(failuresOf('74')).toEqual([])
    for (const way of ['terminated', 'exited', 'left', 'killedInPrepare', 'killedWhileJoining']) {
      // A short run may not have come to each of them.
      if (seconds >= 30) expect({ [way]: count(way) }).not.toEqual({ [way]: 0 })
    }
    expect(count('started')).toBeGreaterThan(3)
    expect(count('forcedUnderLease')).toBeGreaterThan(0)
  })

  test('20: a mount that is replaced all the time is never missed: 10 million lookups in a minute', () => {
    expect(failuresOf('20')).toEqual([])
    expect(count('alwaysMisses')).toBe(0)
    expect(count('alwaysLookups')).toBeGreaterThanOrEqual((10_000_000 * seconds) / 60)
    expect(count('alwaysReplacements')).toBeGreaterThan(0)
  })

  test('31: force aborts outside of lookups, and disposes of no handler that its thread still holds', () => {
    expect(failuresOf('31')).toEqual([])
    expect(count('lateReleases')).toBeGreaterThan(0)
  })

  test('57: a table is stopped and started again in place, even in one turn, and mounts what comes then', () => {
    expect(failuresOf('57')).toEqual([])
    expect(count('mounts')).toBeGreaterThan(count('stops'))
  })

  test('64: slots are refused only when all are in use, or kept for late releases', () => {
    expect(failuresOf('64')).toEqual([])
  })

  test('75: the history of all that is linearizable at every mount point', { timeout: 120_000 }, () => {
    const verdicts = checkHistory(history)
    console.log(`linearizability: ${JSON.stringify(verdicts)}`)
    expect(verdicts.filter(({ linearizable }) => !linearizable)).toEqual([])
    expect(verdicts).toHaveLength(history.points.length)
    expect(history.operations.length).toBeGreaterThan(1000)
  })
})
