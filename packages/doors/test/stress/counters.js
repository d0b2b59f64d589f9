/** What procedures count, each thread in memory of its own that the control thread reads. */
import { workerData } from 'node:worker_threads'

export const COUNTERS = [
  /** Procedures that have begun, and that have ended. */
  'begun',
  'ended',
  /** Those that wait for their signal, and those that saw it. */
  'waits',
  'signals',
  'blocks',
  'blocksEnded',
  /** What must not be: they were told although the door tells nothing, or were not told for long. */
  'toldThoughSteady',
  'notTold',
]

export const createCounters = () => new Int32Array(new SharedArrayBuffer(4 * COUNTERS.length))

/** Of this thread. */
export const counters = workerData?.counters ?? createCounters()

export const count = (name) => Atomics.add(counters, COUNTERS.indexOf(name), 1)
export const counted = (words, name) => Atomics.load(words, COUNTERS.indexOf(name))
