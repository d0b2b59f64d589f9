import { expect, test } from 'vitest'
import { groupCounters } from '../src/status/counters.ts'

test('totals and the counters of each worker are told apart, workers in the order of their numbers', () => {
  const counters = {
    requests: 12,
    'worker.10.requests': 2,
    'worker.2.requests': 10,
    'worker.2.accepted': 1,
    'worker.': 5,
  }
  expect(groupCounters(counters)).toEqual({
    totals: { requests: 12, 'worker.': 5 },
    workers: [
      { worker: 2, counters: { requests: 10, accepted: 1 } },
      { worker: 10, counters: { requests: 2 } },
    ],
  })
})

test('the open connections are those of all workers together', () => {
  const counters = { accepted: 7, closed: 5, 'worker.1.accepted': 7, 'worker.2.closed': 5 }
  expect(groupCounters(counters)).toEqual({
    totals: { accepted: 7, closed: 5, connections: 2 },
    workers: [
      { worker: 1, counters: { accepted: 7 } },
      { worker: 2, counters: { closed: 5 } },
    ],
  })
})
