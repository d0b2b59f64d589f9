import { describe, expect, test } from 'vitest'
import { EVFILT_READ, EVFILT_USER, EV_ADD, EV_DISPATCH, EV_FORCEONESHOT, EV_ONESHOT } from '../src/index.ts'
import { NOTE_TRIGGER } from '../src/index.ts'
import { change, due, newFifo, newQueue } from './fixtures/queue.ts'
import { asleep, Crew } from './fixtures/workers.ts'

const ROUNDS = 25
const TOGETHER = 8

// D19: no moment of a thread's death takes an event with it: what the thread was not handed comes again, and what it
// was handed and may not have handled is told of.
describe.each(['blocking', 'loop'])('a worker that is terminated while it takes one-shots (%s)', (role) => {
  test('D19: each comes again, or was seen by it or is told of as an orphan; not both', async () => {
    const kq = newQueue()
    const seen = new Int32Array(new SharedArrayBuffer(4 * TOGETHER * ROUNDS))
    for (let round = 0; round < ROUNDS; round++) {
      const worker = new Crew(kq, role, { seen }, 'mortal.js')
      await worker.next()
      if (round % 2 > 0) await asleep(kq, kq.counters().slept + 1 - (round % 2))
      const idents = Array.from({ length: TOGETHER }, (_, index) => round * TOGETHER + index)
      const ended = round % 3 === 0 ? worker.terminate() : undefined
      const flags = EV_ADD | EV_ONESHOT
      for (const ident of idents) change(kq, { ident, filter: EVFILT_USER, flags, fflags: NOTE_TRIGGER })
      await (ended ?? worker.terminate())
      const left = due(kq, TOGETHER).map(({ ident }) => ident)
      const orphans = kq.orphans().map(({ ident }) => ident)
      const taken = idents.filter((ident) => seen[ident] === 1 || orphans.includes(ident))
      expect([...left, ...taken].sort((a, b) => a - b)).toEqual(idents)
      expect(kq.orphans()).toEqual([])
    }
    expect(seen.every((times) => times <= 1)).toBe(true)
  })

  test('D19: a forced event comes again as a forced one', async () => {
    const kq = newQueue()
    const seen = new Int32Array(new SharedArrayBuffer(4 * 1024))
    for (let round = 0; round < ROUNDS; round++) {
      const fifo = newFifo()
      const worker = new Crew(kq, role, { seen }, 'mortal.js')
      const consumer = (await worker.next()).ready
      const knote = { ident: fifo.fd, filter: EVFILT_READ }
      change(kq, { ...knote, flags: EV_ADD | EV_DISPATCH })
      const ended = round % 2 === 0 ? worker.terminate() : undefined
      change(kq, { ...knote, flags: EV_FORCEONESHOT })
      await (ended ?? worker.terminate())
      const orphans = kq.orphans()
      const taken = Math.max(Atomics.exchange(seen, fifo.fd, 0), orphans.length)
      const left = due(kq)
      expect(taken + left.length).toBe(1)
      if (orphans.length > 0) expect(orphans[0]).toMatchObject({ ident: fifo.fd, holder: consumer })
      if (left.length > 0) expect(left[0]!.flags & EV_FORCEONESHOT).toBe(EV_FORCEONESHOT)
      expect(kq.list()).toEqual([])
    }
  })
})
