import { closeSync, constants, openSync } from 'node:fs'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EVFILT_WRITE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_FORCEONESHOT,
  EV_KEEPUDATA,
  KEventList,
} from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'
import { Crew } from './fixtures/workers.ts'

/** How long each stress runs; `pnpm test:stress` makes it 60. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 1)
/** How much of a case's number of rounds has to be done in that time. */
const share = Math.min(seconds / 60, 1)
/** The reference's millions, or the part of them that this run has time for. */
const million = Math.ceil(1e6 * share)
const timeout = (seconds + 30) * 1000 * 4

const [SERVED, OVERLAPS, STOP, BOTH, TORN_DOWN, STALE, MISSED] = [0, 1, 2, 3, 4, 5, 6] as const
type Total = typeof SERVED | typeof OVERLAPS | typeof BOTH | typeof TORN_DOWN | typeof STALE | typeof MISSED

const int32 = (length: number): Int32Array => new Int32Array(new SharedArrayBuffer(length * 4))

class Stress {
  readonly kq: KQueue = newQueue()
  readonly shared = { peers: int32(4096), busy: int32(4096), gone: int32(4096), totals: int32(8) }
  readonly #crews: Crew[] = []
  readonly #start = performance.now()

  start(threads: number, data: { role?: string; mode: string; max?: number }): void {
    for (let thread = 0; thread < threads; thread++) {
      const crew = new Crew(this.kq, data.role ?? '', { ...data, shared: this.shared }, 'stress-worker.js')
      this.#crews.push(crew)
      crews.push(crew)
    }
  }

  total(what: Total): number {
    return Atomics.load(this.shared.totals, what)
  }

  get over(): boolean {
    return performance.now() - this.#start >= seconds * 1000
  }

  /** Until the time is over, and as much was served. */
  async last(least = 1): Promise<void> {
    while (!this.over || this.total(SERVED) < least) await sleep(10)
  }

  /** What the threads do in so many ms in which there is nothing to do: it tells whether they spin. */
  async idle(ms: number): Promise<{ events: number; sleeps: number; looks: number; milliseconds: number }> {
    await sleep(200) // until each has finished what it had in hand
    const [before, cpu] = [this.kq.counters(), process.cpuUsage()]
    await sleep(ms)
    const [after, { user, system }] = [this.kq.counters(), process.cpuUsage(cpu)]
    return {
      events: after.delivered - before.delivered,
      sleeps: after.slept - before.slept,
      looks: after.stale - before.stale,
      milliseconds: Math.round((user + system) / 1000),
    }
  }

  async stop(): Promise<void> {
    Atomics.store(this.shared.totals, STOP, 1)
    for (const crew of this.#crews) expect(await crew.next()).toEqual({ done: true })
  }

  /** One line for the record. */
  print(counts: Record<string, number>): void {
    const time = ((performance.now() - this.#start) / 1000).toFixed(1)
    const { delivered, forced, stale, slept, woken } = this.kq.counters()
    const all = { ...counts, delivered, forced, dropped: stale, slept, woken }
    const text = Object.entries(all).map(([name, value]) => `${name} ${value}`)
    console.log(`${expect.getState().currentTestName}: ${time} s, ${text.join(', ')}`)
  }
}

const crews: Crew[] = []
afterEach(async () => {
  await Promise.all(crews.splice(0).map((crew) => crew.terminate()))
})

const tokensIn = (fifos: Fifo[]): number =>
  fifos.reduce((sum, fifo) => {
    try {
      return sum + fifo.read(64).length
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' })
      return sum
    }
  }, 0)

/** Pairs of FIFOs, with a token in each pair. */
const pairs = ({ kq, shared }: Stress, number: number, filters: number[]): Fifo[] => {
  const fifos = Array.from({ length: number * 2 }, newFifo)
  for (const [index, fifo] of fifos.entries()) {
    shared.peers[fifo.fd] = fifos[index ^ 1]!.fd
    change(kq, ...filters.map((filter) => ({ ident: fifo.fd, filter, flags: EV_ADD | EV_DISPATCH })))
    if (index % 2 === 0) fifo.write('t')
  }
  return fifos
}

for (const mode of ['blocking', 'loop']) {
  describe(`stress (${mode})`, () => {
    for (const threads of [2, 4, 8]) {
      test(`D13: ${threads} threads, 2 pairs: no overlap`, { timeout }, async () => {
        const stress = new Stress()
        const fifos = pairs(stress, 2, [EVFILT_READ])
        stress.start(threads, { role: 'tokens', mode })
        await stress.last()
        await stress.stop()
        const tokens = tokensIn(fifos)
        stress.print({ served: stress.total(SERVED), overlaps: stress.total(OVERLAPS), tokens })
        expect(stress.total(OVERLAPS)).toBe(0)
        expect(tokens).toBe(2)
      })
    }

    test('D14: READ and WRITE of one descriptor, 4 threads: no overlap of a knote', { timeout }, async () => {
      const stress = new Stress()
      const fifos = pairs(stress, 2, [EVFILT_READ, EVFILT_WRITE])
      stress.start(4, { role: 'halves', mode })
      await stress.last()
      await stress.stop()
      const [served, overlaps, both] = [stress.total(SERVED), stress.total(OVERLAPS), stress.total(BOTH)]
      const tokens = tokensIn(fifos)
      stress.print({ served, overlaps, 'both at once': both, tokens })
      expect(overlaps).toBe(0)
      expect(both).toBeGreaterThan(0)
      expect(tokens).toBe(2)
    })

    test(`D20: at least ${million} cycles, no token lost`, { timeout }, async () => {
      const stress = new Stress()
      const fifos = pairs(stress, 16, [EVFILT_READ])
      stress.start(4, { role: 'tokens', mode, max: 8 })
      await stress.last(million)
      await stress.stop()
      const tokens = tokensIn(fifos)
      stress.print({ cycles: stress.total(SERVED), overlaps: stress.total(OVERLAPS), tokens })
      expect(tokens).toBe(16)
      expect(stress.total(OVERLAPS)).toBe(0)
    })

    test(
      `O17: at least ${million} connections forced while 4 threads serve: each torn down once`,
      { timeout },
      async () => {
        const stress = new Stress()
        const { kq, shared } = stress
        const connections = Array.from({ length: 32 }, () => ({ fifo: newFifo(), life: 0, forced: true }))
        stress.start(4, { role: 'teardown', mode })
        const changes = new KEventList(connections.length)
        let rounds = 0
        while (!stress.over || rounds < million) {
          let changed = 0
          for (const connection of connections) {
            const { fd } = connection.fifo
            if (!connection.forced && Math.random() < 0.5) {
              changes.set(changed++, fd, EVFILT_READ, EV_FORCEONESHOT | EV_KEEPUDATA)
              connection.forced = true
              rounds++
            } else if (connection.forced && Atomics.load(shared.gone, fd) === connection.life) {
              // Every eighth is busy, the others are idle.
              if (connection.life === 0 && fd % 8 === 0) connection.fifo.write('t')
              changes.set(changed++, fd, EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, ++connection.life)
              connection.forced = false
            }
          }
          kq.keventList(changes, changed, null, 0)
          if (changed === 0) await setImmediate()
        }
        while (stress.total(TORN_DOWN) < rounds) await setImmediate()
        await stress.stop()
        const [tornDown, overlaps, stale] = [
          stress.total(TORN_DOWN),
          stress.total(OVERLAPS),
          stress.total(STALE),
        ]
        stress.print({ rounds, 'torn down': tornDown, overlaps, 'after teardown': stale })
        expect({ tornDown, overlaps, stale }).toEqual({ tornDown: rounds, overlaps: 0, stale: 0 })
        expect(kq.counters().forced).toBe(rounds)
      },
    )
  })
}

describe('stress', () => {
  test(
    'X7: descriptors closed while 4 threads serve, their numbers used anew: no stale event, no spinning',
    { timeout },
    async () => {
      const stress = new Stress()
      const { kq, shared } = stress
      const fifos = Array.from({ length: 8 }, newFifo)
      for (const fifo of fifos) fifo.write('t')
      stress.start(4, { role: 'reuse', mode: 'blocking' })
      const open: number[] = []
      const ways = { 'by the queue': 0, detached: 0, 'behind its back': 0 }
      let [life, reused] = [0, 0]
      const close = (fd: number, way: keyof typeof ways): void => {
        ways[way]++
        if (way === 'by the queue') kq.closeDescriptor(fd)
        else if (way === 'detached') kq.detach(fd)
        else closeSync(fd)
        Atomics.store(shared.gone, fd, life)
        if (way === 'detached') closeSync(fd)
      }
      while (!stress.over) {
        const { path } = fifos[life % fifos.length]!
        const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
        if (Atomics.load(shared.gone, fd) > 0) reused++
        life++
        change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, udata: life })
        open.push(fd)
        if (open.length >= 4) {
          const [closed] = open.splice(Math.floor(Math.random() * open.length), 1) as [number]
          // In a thread Node closes at the end, by number, what was opened there: closeDescriptor is not for it.
          const byQueue = isMainThread ? 'by the queue' : 'detached'
          close(closed, life % 3 === 0 ? byQueue : life % 3 === 1 ? 'detached' : 'behind its back')
        }
        if (life % 64 === 0) await setImmediate()
      }
      for (const fd of open) close(fd, 'behind its back')
      const turns = await stress.idle(500)
      await stress.stop()
      const [served, stale] = [stress.total(SERVED), stress.total(STALE)]
      stress.print({
        lives: life,
        ...ways,
        'numbers used anew': reused,
        served,
        'stale events': stale,
        ...turns,
      })
      expect(stale).toBe(0)
      expect(served).toBeGreaterThan(0)
      expect(reused).toBeGreaterThan(0)
      expect(turns.events).toBe(0)
      // Four threads that wait 100 ms at a time: twenty or so sleeps, and next to no time of a processor.
      expect(turns.sleeps).toBeLessThan(60)
      expect(turns.looks).toBeLessThan(60)
      if (isMainThread) expect(turns.milliseconds).toBeLessThan(250) // a thread has others beside it
      expect(due(kq)).toEqual([])
      // Knotes of what was closed behind the queue's back are listed until somebody looks.
      for (const { ident, filter } of kq.list())
        expect(['EBADF', 'ENOENT']).toContain(refused(kq, { ident, filter, flags: EV_DELETE }))
      expect(kq.list()).toEqual([])
    },
  )

  test('U13: triggers against EV_DELETE: nothing comes once that has returned', { timeout }, async () => {
    const stress = new Stress()
    const { kq } = stress
    stress.start(2, { mode: 'trigger' })
    const lists = { changes: new KEventList(1), events: new KEventList(4) }
    const apply = (flags: number): number => {
      lists.changes.set(0, 1, EVFILT_USER, flags)
      return kq.keventList(lists.changes, 1, null, 0)
    }
    let [rounds, events, late] = [0, 0, 0]
    for (; !stress.over; rounds++) {
      apply(EV_ADD | EV_CLEAR)
      for (let turn = 0; turn < 8; turn++) events += kq.keventList(null, 0, lists.events, 4, 0)
      apply(EV_DELETE)
      late += kq.keventList(null, 0, lists.events, 4, 0)
      if (rounds % 64 === 0) await setImmediate()
    }
    await stress.stop()
    const [triggers, missed] = [stress.total(SERVED), stress.total(MISSED)]
    stress.print({ rounds, triggers, 'of an absent knote': missed, events, 'after EV_DELETE': late })
    expect(late).toBe(0)
    expect(events).toBeGreaterThan(0)
  })

  test(
    'M3: 2 threads, one level-triggered knote that is always ready: no call comes back empty',
    { timeout },
    async () => {
      const stress = new Stress()
      const fifo = newFifo()
      fifo.write('t')
      change(stress.kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
      stress.start(2, { mode: 'polling', max: 1 })
      await stress.last(2e4 * share)
      await stress.stop()
      stress.print({ calls: stress.total(SERVED), empty: stress.total(MISSED) })
      expect(stress.total(MISSED)).toBe(0)
    },
  )

  test(
    'M3: from the first call on, of each of many knotes, whichever thread meets its first edge',
    { timeout },
    async () => {
      const stress = new Stress()
      const { kq, shared } = stress
      stress.start(1, { mode: 'first', max: 1 }) // the other is this one
      const fifo = newFifo()
      fifo.write('t')
      const events = new KEventList(1)
      let [knotes, calls, empty] = [0, 0, 0]
      while (!stress.over) {
        knotes++
        const fd = fifo.open(constants.O_RDWR)
        change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD })
        Atomics.store(shared.gone, 0, knotes) // both are let go together
        for (let call = 0; call < 4; call++, calls++) if (kq.keventList(null, 0, events, 1, 0) !== 1) empty++
        while (Atomics.load(shared.busy, 0) < knotes);
        kq.detach(fd)
        fifo.close(fd)
        if (knotes % 64 === 0) await setImmediate()
      }
      calls += stress.total(SERVED) + stress.total(MISSED)
      empty += stress.total(MISSED)
      await stress.stop()
      stress.print({ knotes, calls, empty })
      expect(empty).toBe(0)
    },
  )
})
