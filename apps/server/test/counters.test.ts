import { expect, test } from 'vitest'
import { groupCounters } from '../src/counters.ts'

test('totals and the counters of each worker are told apart, workers in the order of their numbers', () => {
  const counters = {
    requests: 12,
    'worker.10.requests': 2,
    'worker.2.requests': 10,
    'worker.2.connections': 1,
    'worker.': 5,
  }
  expect(groupCounters(counters)).toEqual({
    totals: { requests: 12, 'worker.': 5 },
    workers: [
      { worker: 2, counters: { requests: 10, connections: 1 } },
      { worker: 10, counters: { requests: 2 } },
    ],
  })
})
