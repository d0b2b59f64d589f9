import { describe, expect, test } from 'vitest'
import { notAlone, outcomeOf } from './fixtures/alone.ts'
import { criuImages, imagesAbsent } from './fixtures/criu-images.ts'

const unable = imagesAbsent === '' ? notAlone : imagesAbsent
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)

// Each with how many operations are left out between two that are tried, and how many of those at which a caller is killed.
const packages = [
  { name: 'ghost', task: 9, caller: 60 },
  { name: 'ughost', task: 8, caller: 50 },
  { name: 'ustream', task: 29, caller: 120 },
  { name: 'mixed4', task: 80, caller: 300 },
]

describe.skipIf(unable !== '')(
  `a restore of real images that is ended leaves nothing behind${unable}`,
  () => {
    for (const { name, ...steps } of packages) {
      for (const victim of ['task', 'caller'] as const) {
        test(`${name}, when a ${victim} is killed at an operation`, { timeout: 600_000 }, () => {
          // Other ones each day.
          const step = seconds === 0 ? steps[victim] : victim === 'task' ? 1 : 5
          const first = Math.floor(Date.now() / 86_400_000) % step
          const seen = outcomeOf('rollback.js', criuImages(), name, victim, String(first), String(step))
          expect(seen.wrong).toEqual([])
          expect(seen.tried).toBeGreaterThan(0)
        })
      }
    }
  },
)
