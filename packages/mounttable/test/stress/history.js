/**
 * Records operations with the moments of their invocation and response, stamped by one word that all threads share:
 * an operation that has ended before another begins has the smaller stamps. What is mounted at a host and prefix is a
 * register, and a lookup reads those of all points that were asked before it found something.
 */
import { SEQUENCE, THREADS } from './shadow.js'

/** Reads a second and thread. The control thread takes them out while everybody stands still. */
const ROOM = 4096
const FIELDS = 4

/** A count, and then so many reads: point, generation or 0 for none, invocation, response. */
export const createReads = () =>
  Array.from({ length: THREADS }, () => new Int32Array(new SharedArrayBuffer(4 * (1 + ROOM * FIELDS))))

const stamp = (words) => Atomics.add(words, SEQUENCE, 1)

/** A thread's own end: samples its lookups, a few in a row so that they meet one change from several sides. */
export class ReadRecorder {
  #reads
  #words
  #period
  #calls = 0

  /** Of each `period` lookups, 8 in a row are recorded; all are when it is 8 or less. */
  constructor(reads, words, period) {
    this.#reads = reads
    this.#words = words
    this.#period = period
  }

  /** The invocation's stamp; undefined when this lookup is not recorded. */
  invoke() {
    const sampled = this.#calls++ % this.#period < 8
    return sampled && this.#reads[0] < ROOM - 8 ? stamp(this.#words) : undefined
  }

  /** The response: the points before `found` had nothing. */
  respond(invoked, candidates, found, generation) {
    const response = stamp(this.#words)
    const reads = this.#reads
    let count = reads[0]
    for (const point of candidates) {
      const value = point === found ? generation : 0
      reads.set([point, value, invoked, response], 1 + count++ * FIELDS)
      if (point === found) break
    }
    // Who is terminated before this line has recorded nothing.
    Atomics.store(reads, 0, count)
  }
}

/** The control thread's: all changes, and the reads of all threads. */
export class History {
  #reads
  #words
  operations = []

  constructor(reads, words) {
    this.#reads = reads
    this.#words = words
  }

  /** A moment: of an invocation or a response. */
  now() {
    return stamp(this.#words)
  }

  /** `kind` is mount, replace or unmount; `value` the generation that is mounted then, or 0. */
  changed(kind, point, value, invoked, response) {
    this.operations.push([kind, point, value, invoked, response])
  }

  /** Takes over what threads have read. They must stand still, or be gone. */
  collect() {
    for (const reads of this.#reads) {
      for (let index = 0; index < reads[0]; index++) {
        this.operations.push(['lookup', ...reads.subarray(1 + index * FIELDS, 1 + (index + 1) * FIELDS)])
      }
      reads[0] = 0
    }
  }
}
