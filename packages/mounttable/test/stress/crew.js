/** The workers of the stress: started, terminated at any moment, replaced, and made to stand still. */
import { Worker } from 'node:worker_threads'
import { PAUSE, RUN, SLOTS, WORKERS } from './shadow.js'

export class Crew {
  #table
  #data
  #random
  #report
  #options
  /** By thread number; the control thread has no seat. */
  #seats = new Map()
  /** Members that have ended and that the table has not been told of: it has to notice by itself. */
  #untold = new Set()
  /** Starts and standstills take turns. */
  #turn = Promise.resolve()
  /** The greatest of all workers, in MiB. */
  heapLimit = 0
  /** For the report of a run that hangs. */
  doing = 'starting'
  counts = { started: 0, terminated: 0, killedInPrepare: 0, killedWhileJoining: 0, exited: 0, left: 0 }

  /** `report(text)` is called when a worker ends without having been asked to. */
  constructor({ table, data, random, report, options }) {
    this.#table = table
    this.#data = data
    this.#random = random
    this.#report = report
    this.#options = options
  }

  async startAll() {
    for (let thread = 1; thread <= WORKERS; thread++) await this.#start(thread)
  }

  /** Ids of the members that have joined. */
  members() {
    return [...this.#seats.values()].filter(({ joined }) => joined).map(({ id }) => id)
  }

  /** Ends one worker in one of all ways, and puts another one in its place. */
  async replaceOne() {
    const thread = 1 + this.#random(WORKERS)
    const seat = this.#seats.get(thread)
    const way = this.#random(8)
    if (seat !== undefined) {
      if (way === 0) {
        this.counts.left++
        seat.leaving = true
        seat.worker.postMessage({ type: 'leave' })
      } else if (way <= 2) {
        this.counts.exited++
        seat.worker.postMessage({ type: 'exit', lookups: 1 + this.#random(200) })
      } else {
        this.counts.terminated++
        this.#terminate(thread, seat)
      }
      this.doing = `waiting for worker ${thread} to end in way ${way}`
      await seat.gone
    }
    await this.refill()
  }

  /** Puts a worker in every seat that is empty, now and then one that is terminated while it joins. */
  async refill() {
    await this.#exclusively(async () => {
      for (let thread = 1; thread <= WORKERS; thread++) {
        if (this.#seats.has(thread)) continue
        if (this.#random(6) === 0) {
          this.counts.killedWhileJoining++
          const seat = this.#seat(thread)
          // Somewhere between the start of the thread and its first lookups.
          const moment = new Promise((resolve) => setTimeout(resolve, this.#random(60)))
          await Promise.race([moment, seat.attached])
          this.#terminate(thread, seat)
          this.doing = `waiting for worker ${thread} to end while it joins`
          await seat.gone
        }
        await this.#start(thread)
      }
    })
  }

  /** Calls `look` while no worker runs: each stands still, in the way of `how`, or is gone and forgotten. */
  async standStill(how, look) {
    await this.#exclusively(async () => {
      const { words } = this.#data.shadow
      const seats = [...this.#seats.values()]
      this.doing = 'waiting until everybody stands still'
      Atomics.store(words, PAUSE, how)
      await Promise.all(seats.map((seat) => Promise.race([seat.paused(), seat.gone])))
      await this.#untilDyingAreGone()
      this.#tell()
      this.doing = 'standing still'
      await look()
      Atomics.store(words, PAUSE, RUN)
      Atomics.notify(words, PAUSE)
      this.doing = 'running'
    })
  }

  async terminateAll() {
    for (const [thread, seat] of this.#seats) {
      this.#terminate(thread, seat)
      await seat.gone
    }
    this.#tell()
  }

  async #start(thread) {
    for (;;) {
      const seat = this.#seat(thread)
      this.doing = `waiting for worker ${thread} to join`
      await Promise.race([seat.attached, seat.gone])
      if (this.#seats.get(thread) === seat) return
    }
  }

  #seat(thread) {
    this.counts.started++
    const handle = this.#table.share()
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: { ...this.#data, table: handle, thread, seed: this.#random(2 ** 30) },
      transferList: handle.transfer,
      ...this.#options,
    })
    let attached
    let paused = () => undefined
    worker.on('message', ({ type, heapLimit }) => {
      if (type === 'attached') {
        this.heapLimit = Math.max(this.heapLimit, heapLimit)
        seat.joined = true
        attached()
      } else if (type === 'paused') paused()
      else if (type === 'kill' && this.#seats.get(thread) === seat) {
        this.counts.killedInPrepare++
        this.#terminate(thread, seat)
      }
    })
    worker.on('error', (error) => {
      this.#report(`a worker failed: ${error.stack}`)
    })
    const seat = {
      worker,
      id: handle.id,
      joined: false,
      leaving: false,
      attached: new Promise((resolve) => (attached = resolve)),
      gone: new Promise((resolve) => {
        worker.once('exit', () => {
          this.#bury(thread, seat)
          resolve()
        })
      }),
      paused: () => new Promise((resolve) => (paused = resolve)),
    }
    this.#seats.set(thread, seat)
    return seat
  }

  /** Who was terminated after it had stood still is between being forgotten by the table and by the shadow. */
  async #untilDyingAreGone() {
    for (;;) {
      const dying = [...this.#seats].filter(([thread]) => Atomics.load(this.#data.shadow.dying, thread) !== 0)
      if (dying.length === 0) return
      await Promise.all(dying.map(([, seat]) => seat.gone))
    }
  }

  #terminate(thread, seat) {
    Atomics.store(this.#data.shadow.dying, thread, 1)
    void seat.worker.terminate()
  }

  /** The thread runs no more: what it held is nobody's. */
  #bury(thread, seat) {
    const { dying, held } = this.#data.shadow
    const mine = held.subarray(thread * SLOTS, (thread + 1) * SLOTS)
    if (Atomics.load(dying, thread) === 0) {
      if (!seat.leaving) this.#report('a worker ended that nobody had ended')
      else if (mine.some((count) => count !== 0)) this.#report('a worker left with leases')
    }
    mine.fill(0)
    Atomics.store(dying, thread, 0)
    this.#seats.delete(thread)
    this.#untold.add(seat.id)
    // Half of them the table has to notice by itself.
    if (this.#random(2) === 0) this.#tell()
  }

  #tell() {
    for (const id of this.#untold) this.#table.removed(id)
    this.#untold.clear()
  }

  #exclusively(work) {
    this.#turn = this.#turn.then(work)
    return this.#turn
  }
}
