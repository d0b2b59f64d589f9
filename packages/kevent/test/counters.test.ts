import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DISPATCH,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import { change, codeOf, due, newFifo, newQueue, own } from './fixtures/queue.ts'

describe('counters()', () => {
  test('are of the queue, whoever reads them, and stand when it is closed', () => {
    const kq = newQueue()
    const other = own(KQueue.attach(kq.share()))
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })
    due(other)
    expect(kq.counters()).toMatchObject({ delivered: 1, forced: 0, stale: 0 })
    kq.close()
    expect(kq.counters()).toEqual(other.counters())
  })

  test('are in the memory that share() names: a thread without a queue can read them', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })
    due(kq)
    expect(new BigUint64Array(kq.share().counters)[0]).toBe(1n)
  })

  test('ringHighWater is the most knotes that waited', () => {
    const kq = newQueue()
    for (let ident = 1; ident <= 5; ident++) {
      change(kq, { ident, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })
    }
    due(kq, 2)
    due(kq, 8)
    expect(kq.counters()).toMatchObject({ delivered: 5, ringHighWater: 5 })
  })

  test('duplicates are edges for a knote in a handler that one is kept for already', () => {
    const kq = newQueue()
    const fifo = newFifo()
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    fifo.write('a')
    expect(due(kq)).toHaveLength(1)
    for (const text of ['b', 'c']) {
      fifo.write(text)
      expect(due(kq)).toEqual([])
    }
    expect(kq.counters()).toMatchObject({ delivered: 1, duplicates: 1 })
  })

  test('a handle with the memory of another queue is EBADF', () => {
    const handle = newQueue().share()
    const { counters } = newQueue().share()
    expect(codeOf(() => KQueue.attach({ ...handle, counters }))).toBe('EBADF')
    expect(codeOf(() => KQueue.attach(JSON.parse(JSON.stringify(handle)) as typeof handle))).toBe('EBADF')
  })

  test('the memory outlives the thread that made it', async () => {
    const { Worker } = await import('node:worker_threads')
    const source = `
      import { parentPort } from 'node:worker_threads'
      import { KQueue } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
      globalThis.kq = new KQueue()
      parentPort.postMessage(kq.share())
      parentPort.once('message', () => parentPort.close())`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
    const handle = await new Promise<ReturnType<KQueue['share']>>((resolve) =>
      worker.once('message', resolve),
    )
    const kq = own(KQueue.attach(handle))
    worker.postMessage('end')
    await new Promise((resolve) => worker.once('exit', resolve))
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })
    due(kq)
    expect(kq.counters().delivered).toBe(1)
  })
})
