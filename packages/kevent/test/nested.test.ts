import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_SIGNAL,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KEventChange } from '../src/index.ts'
import { program } from './fixtures/program.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'

/** The change by which a queue watches another. */
const reader = (inner: KQueue, flags = 0): KEventChange => ({
  ident: inner.descriptor,
  filter: EVFILT_READ,
  flags: EV_ADD | flags,
})
const watch = (outer: KQueue, inner: KQueue, flags = 0): void => {
  change(outer, reader(inner, flags))
}
const trigger = (kq: KQueue, ...idents: number[]): void => {
  const user = {
    filter: EVFILT_USER,
    flags: EV_ADD | EV_CLEAR,
    fflags: NOTE_TRIGGER,
  }
  change(kq, ...idents.map((ident) => ({ ...user, ident })))
}

describe('a queue in a queue', () => {
  test('N1: its descriptor is readable while something is due', () => {
    const [poll, kq, fifo] = [newQueue(), newQueue(), newFifo()]
    watch(poll, kq)
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    expect(due(poll)).toEqual([])
    fifo.write('x')
    expect(due(poll)).toHaveLength(1)
    expect(due(kq)).toHaveLength(1)
    fifo.read(1)
    expect(due(kq)).toEqual([])
    expect(due(poll)).toEqual([])
  })

  test('N2: data is how many are due', () => {
    const [outer, inner] = [newQueue(), newQueue()]
    watch(outer, inner)
    trigger(inner, 1, 2, 3)
    expect(due(outer)).toMatchObject([{ ident: inner.descriptor, filter: EVFILT_READ, data: 3 }])
    expect(due(inner, 2)).toHaveLength(2)
    expect(due(outer)).toMatchObject([{ data: 1 }])
    expect(due(inner)).toHaveLength(1)
    expect(due(outer)).toEqual([])
  })

  test('N2: with EV_CLEAR once per activation', () => {
    const [outer, inner] = [newQueue(), newQueue()]
    watch(outer, inner, EV_CLEAR)
    trigger(inner, 1)
    expect(due(outer)).toMatchObject([{ data: 1 }])
    expect(due(outer)).toEqual([])
    expect(due(inner)).toHaveLength(1)
    expect(due(outer)).toEqual([])
    trigger(inner, 2)
    expect(due(outer)).toHaveLength(1)
  })

  test('N2: a signal ends a wait', () => {
    const [outer, inner] = [newQueue(), newQueue()]
    change(inner, { ident: 28, filter: EVFILT_SIGNAL, flags: EV_ADD })
    watch(outer, inner)
    process.kill(process.pid, 'SIGWINCH')
    expect(outer.kevent(null, 8, 10_000)).toMatchObject([{ data: 1 }])
    expect(due(inner)).toMatchObject([{ ident: 28 }])
  })

  // In a process of its own: kill(2) returns once the signal is delivered if it is its caller that takes it, and
  // Linux gives a process's signals to its main thread.
  test('N2: a signal is there at once, right after kill(2)', async () => {
    const { output } = await program(`
      const outer = new k.KQueue()
      kq.kevent([{ ident: 28, filter: k.EVFILT_SIGNAL, flags: k.EV_ADD }])
      outer.kevent([{ ident: kq.descriptor, filter: k.EVFILT_READ, flags: k.EV_ADD }])
      let seen = 0
      for (let round = 0; round < 100; round++) {
        process.kill(process.pid, 28)
        const [outside] = outer.kevent(null, 8, 0)
        const [inside] = kq.kevent(null, 8, 0)
        if (outside?.data === 1 && inside?.ident === 28 && inside.data === 1) seen++
        if (outer.kevent(null, 8, 0).length > 0) seen -= 1000
      }
      console.log(seen)`)
    expect(output).toBe('100')
  })

  test('N4: a chain as long as epoll allows', () => {
    const chain = Array.from({ length: 5 }, () => newQueue())
    for (const [index, kq] of chain.entries()) {
      if (index > 0) watch(kq, chain[index - 1]!)
    }
    trigger(chain[0]!, 1)
    expect(due(chain[4]!)).toMatchObject([{ data: 1 }])
    expect(refused(newQueue(), reader(chain[4]!))).toBe('EINVAL')
  })

  test('itself, and a circle: EINVAL', () => {
    const [first, second] = [newQueue(), newQueue()]
    watch(first, second)
    for (const [outer, inner] of [
      [first, first],
      [second, first],
    ] as const) {
      expect(refused(outer, reader(inner))).toBe('EINVAL')
    }
    expect(second.list()).toEqual([])
  })

  test('closed, it is no event, and one that waits in it is not kept from its own', async () => {
    const [outer, inner] = [newQueue(), newQueue()]
    watch(outer, inner)
    const other = KQueue.attach(inner.share())
    const wait = other.wait({ timeout: 10_000 })
    trigger(inner, 4)
    expect(await wait).toMatchObject([{ ident: 4 }])
    other.release()
    inner.close()
    expect(due(outer)).toEqual([])
  })
})
