/** The server's threads: made by the callback of its pools, and ended at any moment. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { counted, createCounters } from './counters.js'

/** Threads of one pool; the callback declines more. */
const MOST = 4

export class ServerThreads {
  #random
  #report
  #living = new Set()
  /** The counters of those that have ended: what has ended with them is told of by `lost`. */
  counts = { created: 0, declined: 0, terminated: 0, terminatedEarly: 0, threadsEnded: 0, lostCalls: 0 }

  /** `report(text)` is called when one ends of an error. */
  constructor(random, report) {
    this.#random = random
    this.#report = report
  }

  /** A callback for one pool. */
  creation() {
    const mine = new Set()
    return ({ handle }) => {
      if (mine.size >= MOST) {
        this.counts.declined++
        return null
      }
      const thread = this.#create(handle)
      mine.add(thread)
      thread.worker.once('exit', () => mine.delete(thread))
      return thread.worker
    }
  }

  #create(handle) {
    this.counts.created++
    const counters = createCounters()
    const worker = new Worker(new URL('./server-thread.js', import.meta.url), {
      workerData: { handle, counters },
    })
    const thread = { worker, counters, bound: false }
    this.#living.add(thread)
    worker.once('message', () => (thread.bound = true))
    worker.on('error', (error) => this.#report(`a server thread failed: ${error.stack}`))
    worker.once('exit', () => {
      this.counts.threadsEnded++
      this.counts.lostCalls += counted(counters, 'begun') - counted(counters, 'ended')
      this.#living.delete(thread)
      this.#ended.push(counters)
    })
    worker.unref()
    return thread
  }

  #ended = []

  get count() {
    return this.#living.size
  }

  /** Ends one of them, now and then one that does not serve yet. */
  terminateOne() {
    const early = this.#random(8) === 0
    const all = [...this.#living].filter(({ bound }) => bound !== early)
    const { worker } = all[this.#random(all.length)] ?? {}
    if (worker === undefined) return
    this.counts[early ? 'terminatedEarly' : 'terminated']++
    void worker.terminate()
  }

  /** Of all that live, and of all that there were. */
  total(name) {
    const sum = (all) => all.reduce((total, counters) => total + counted(counters, name), 0)
    const living = sum([...this.#living].map(({ counters }) => counters))
    return { living, all: living + sum(this.#ended) }
  }

  /** Has their heaps collected, so that what is left is held. */
  async collect() {
    await Promise.all(
      [...this.#living]
        .filter(({ bound }) => bound)
        .map(async ({ worker }) => {
          worker.postMessage('collect')
          await Promise.race([once(worker, 'message'), once(worker, 'exit')])
        }),
    )
  }
}
