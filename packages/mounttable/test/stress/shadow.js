/**
 * What the stress knows of the table without asking it: memory that all its threads share, and the mount points with
 * the targets that lead to them.
 */

import { getHeapStatistics } from 'node:v8'

/** Workers, and the control thread as number 0. */
export const WORKERS = 3
export const THREADS = WORKERS + 1

/** So few that a slot is soon used again, and that they run out now and then. */
export const SLOTS = 22

/** More generations than a run of many minutes begins. */
export const GENERATIONS = 2 ** 22

/** The first is replaced all the time and never unmounted. */
export const POINTS = [
  { prefix: '/always' },
  { prefix: '/m' },
  { prefix: '/m/inner' },
  { prefix: '/m/inner/deep' },
  { prefix: '/m', host: 'a.example' },
  { prefix: '/m/inner', host: 'a.example' },
  { prefix: '/', host: 'b.example' },
  { prefix: '/n' },
  { prefix: '/n/x' },
]
export const ALWAYS = 0

/** Targets with the points that may serve them, in the order of the rules, written down by hand. */
export const QUERIES = [
  { target: '/always/x?page=1', host: undefined, candidates: [0] },
  { target: '/always', host: 'a.example', candidates: [0] },
  { target: '/always/y', host: 'B.example:80', candidates: [6, 0] },
  { target: '/m/other', host: undefined, candidates: [1] },
  { target: '/m/inner/y', host: undefined, candidates: [2, 1] },
  { target: '/m/inner/deep/z', host: undefined, candidates: [3, 2, 1] },
  { target: '/m/inner/deep/z', host: 'A.example:8080', candidates: [5, 4, 3, 2, 1] },
  { target: '/m/q', host: 'a.example', candidates: [4, 1] },
  { target: '/m/inner/deep', host: 'b.example.', candidates: [6, 3, 2, 1] },
  { target: '/m/innermost', host: 'a.example', candidates: [4, 1] },
  { target: '/n/x/1', host: 'c.example', candidates: [8, 7] },
  { target: '//n/./x/../y', host: undefined, candidates: [7] },
  { target: 'http://a.example/m/inner/', host: 'b.example', candidates: [5, 4, 2, 1] },
]

/** Indices into `words`. */
export const PAUSE = 0
export const SEQUENCE = 1

/** Values of the pause word: workers stand still, with their leases or after they have let go of them. */
export const RUN = 0
export const HOLD = 1
export const LET_GO = 2

/** Indices into a thread's totals. What is a failure is named as such; the others are counts. */
export const TOTALS = [
  'lookups',
  'hits',
  'alwaysLookups',
  'alwaysMisses',
  'missesOfMounted',
  'older',
  'misrouted',
  'cleanedLeases',
  'disposedLeases',
  'disposedUnderLease',
  'abortsInLookup',
  'aborts',
  'lateReleases',
  'prepared',
  'disposed',
]

const int32 = (length) => new Int32Array(new SharedArrayBuffer(4 * length))
const uint8 = (length) => new Uint8Array(new SharedArrayBuffer(length))

export const createShadow = () => ({
  /** Live leases a thread and slot. A thread adds after it has a lease and subtracts before it gives it back. */
  held: int32(THREADS * SLOTS),
  /** 1 from the moment on from which a worker may be gone, until what it held is forgotten here. */
  dying: int32(THREADS),
  /** The least generation that a lookup which begins now may find at a point. */
  floor: int32(POINTS.length),
  /** Rises whenever a point begins or ceases to be certainly mounted; even while it is. */
  presence: int32(POINTS.length).fill(1),
  /** A generation: 1 when it was cleaned up, 2 when that may have been by force. */
  cleaned: uint8(GENERATIONS),
  /** A generation: 1 when a lookup has found it. */
  seen: uint8(GENERATIONS),
  words: int32(2),
  /** Not atomic: each thread writes its own, and they are read while it stands still. */
  totals: new Float64Array(new SharedArrayBuffer(8 * THREADS * TOTALS.length)),
})

/** Live leases of a slot in all threads that are not dying. */
export const holders = ({ held, dying }, slot) => {
  let sum = 0
  for (let thread = 0; thread < THREADS; thread++) {
    if (Atomics.load(dying, thread) === 0) sum += Atomics.load(held, thread * SLOTS + slot)
  }
  return sum
}

/** Numbers from a seed, so that a run's choices can be repeated. */
export const randomFrom = (seed) => {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** What this thread's heap may grow to, in MiB. */
export const heapLimit = () => Math.round(getHeapStatistics().heap_size_limit / 2 ** 20)
