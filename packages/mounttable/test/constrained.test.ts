import { expect, test } from 'vitest'
import { longestRun, runStress, type Report } from './stress/run.ts'

const seconds = 1
const timeout = longestRun(seconds) + 20_000

/** As the stress by itself does, but for the number of lookups: these runs are slow. */
const run = async (flags: string[], args: string[] = []): Promise<Report> =>
  (await runStress({ seconds, flags, args: ['--lookups', '0', ...args] })).report

/** That the run has done what it is there for. */
function expectWork(report: Report): void {
  expect(report).toMatchObject({ stops: 3, failures: [] })
  for (const count of ['hits', 'alwaysLookups', 'cleanups', 'quiescentLeases', 'wordsReadAfterStop']) {
    expect({ [count]: report[count] }).not.toEqual({ [count]: 0 })
  }
}

// Case 76 on ARM, whose memory is ordered weakly, is the job `arm` of .github/workflows/check.yml.

test('76: the invariants hold without a compiler: --jitless', { timeout }, async () => {
  const report = await run(['--jitless'])
  expect(report.execArgv).toContain('--jitless')
  expectWork(report)
})

test('76: the invariants hold in 64 MB: --max-old-space-size=64', { timeout }, async () => {
  const report = await run(['--max-old-space-size=64'], ['--worker-mb', '64'])
  expect(report.heapLimits.control).toBeLessThan(128)
  expect(report.heapLimits.worker).toBeLessThan(128)
  expectWork(report)
})
