import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const stress = fileURLToPath(new URL('./fixtures/stress.js', import.meta.url))
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)

interface Result {
  seed: number
  received: number
  /** Of a connection that is whole: neither received nor reported. */
  lost: number
  twice: number
  mismatched: number
  unsent: number
  /** Descriptors that are open at the end and were not before. */
  left: number
}

/** A process of its own, whose table of descriptors is small enough to be filled. */
const run = (seed: number, messages: number): Result => {
  const { stdout, stderr, status, signal } = spawnSync(
    'sh',
    ['-c', `ulimit -n 400 && exec "$0" "$@"`, process.execPath, stress, String(seed), String(messages)],
    { encoding: 'utf8', timeout: 120_000 },
  )
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' })
  console.log(stdout.trim())
  return JSON.parse(stdout) as Result
}

const expectClean = (result: Result): void => {
  expect(result).toMatchObject({ lost: 0, twice: 0, mismatched: 0, unsent: 0, left: 0 })
  expect(result.received).toBeGreaterThan(0)
}

test(
  '100 000 messages with faults: each is received once or reported, and no descriptor is left',
  { timeout: 180_000 },
  () => {
    expectClean(run(Date.now() % 2 ** 31, 100_000))
  },
)

test.runIf(seconds > 0)(
  `the same for ${seconds} s, with a new seed each`,
  { timeout: (seconds + 120) * 1000 },
  () => {
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      expectClean(run(Math.trunc(Math.random() * 2 ** 31), 100_000))
    }
  },
)
