import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_ENABLE,
  KQueue,
  NOTE_TRIGGER,
} from '../src/index.ts'
import { change, codeOf, due, newFifo, newQueue, refused } from './fixtures/queue.ts'

const READABLE = 'select [3], poll [(3, 1)]' // POLLIN, and nothing else
const IDLE = 'select [], poll []'
/** What another process is told of the descriptor by select(2) and poll(2). */
const look = (descriptor: number): string => {
  const program = `import select
p=select.poll(); p.register(3, select.POLLIN | select.POLLPRI | select.POLLOUT)
print(f'select {select.select([3], [3], [3], 0)[0]}, poll {p.poll(0)}')`
  const { stdout } = spawnSync('python3', ['-c', program], {
    stdio: ['ignore', 'pipe', 'inherit', descriptor],
    encoding: 'utf8',
  })
  return stdout.trim()
}

describe('KQueue', () => {
  test('F11: a closed queue is EBADF for every call, and closing twice is fine', () => {
    const kq = new KQueue()
    kq.close()
    kq.close()
    kq.release()
    kq[Symbol.dispose]()
    expect(codeOf(() => due(kq))).toBe('EBADF')
    expect(
      codeOf(() => {
        kq.closeDescriptor(0)
      }),
    ).toBe('EBADF')
    expect(kq.descriptor).toBe(-1)
    expect(kq.list()).toEqual([])
  })

  test('list() shows knotes as they stand', () => {
    const kq = newQueue()
    change(kq, { ident: 7, filter: EVFILT_USER, flags: EV_ADD | EV_DISPATCH, udata: 1.5 })
    const knote = { ident: 7, filter: EVFILT_USER, flags: EV_DISPATCH, fflags: 0, data: 0, udata: 1.5 }
    expect(kq.list()).toEqual([{ ...knote, disabled: false, queued: false, holder: 0 }])
    change(kq, { ident: 7, filter: EVFILT_USER, fflags: NOTE_TRIGGER, udata: 1.5 })
    expect(kq.list()).toEqual([{ ...knote, disabled: false, queued: true, holder: 0 }])
    due(kq)
    expect(kq.held()).toEqual([{ ...knote, disabled: true, queued: false, holder: kq.consumer }])
    expect(kq.held(kq.consumer + 1)).toEqual([])
    change(kq, { ident: 7, filter: EVFILT_USER, flags: EV_ENABLE })
    expect(kq.held()).toEqual([])
  })

  test('counters() count over all threads of the queue', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR, fflags: NOTE_TRIGGER })
    due(kq)
    expect(kq.counters()).toMatchObject({ delivered: 1, forced: 0, stale: 0 })
  })

  test('N1: the descriptor is readable when something is due, and not when nothing is', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })
    const { descriptor } = kq
    expect(look(descriptor)).toBe(IDLE)
    change(kq, { ident: 1, filter: EVFILT_USER, fflags: NOTE_TRIGGER })
    expect(look(descriptor)).toBe(READABLE)
    expect(due(kq)).toHaveLength(1)
    due(kq) // finds nothing, and takes the wake-up with it
    expect(look(descriptor)).toBe(IDLE)
  })

  test('N1: it is readable while only a part of what is due was taken', () => {
    const kq = newQueue()
    const { descriptor } = kq
    const idents = [1, 2, 3]
    change(kq, ...idents.map((ident) => ({ ident, filter: EVFILT_USER, flags: EV_ADD | EV_CLEAR })))
    change(kq, ...idents.map((ident) => ({ ident, filter: EVFILT_USER, fflags: NOTE_TRIGGER })))
    for (let left = 3; left > 0; left--) {
      expect(look(descriptor)).toBe(READABLE)
      expect(due(kq, 1)).toHaveLength(1)
    }
  })

  test('N1: what was due before the descriptor was asked for counts as well', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
    expect(look(kq.descriptor)).toBe(READABLE)
  })

  test('X2: DELETE of a number that was closed behind the queue is EBADF', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    fifo.close()
    expect(refused(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_DELETE })).toBe('EBADF')
    expect(kq.list()).toEqual([])
  })

  test('X3: the number of a closed descriptor, used again, is a new knote without a stale event', () => {
    const [kq, first, second] = [newQueue(), newFifo(), newFifo()]
    const duplicate = openSync(`/proc/self/fd/${first.fd}`, 'r+') // the FIFO lives on, and stays readable
    change(kq, { ident: first.fd, filter: EVFILT_READ, flags: EV_ADD, udata: 1 })
    first.write('x')
    first.close()
    const reused = second.open(2)
    expect(reused).toBe(first.fd)
    change(kq, { ident: reused, filter: EVFILT_READ, flags: EV_ADD, udata: 2 })
    expect(due(kq)).toEqual([])
    second.write('y')
    expect(due(kq)).toMatchObject([{ ident: reused, udata: 2 }])
    kq.detach(reused)
    closeSync(duplicate)
  })

  test('X6: a descriptor closed between queueing and fetch is not delivered', () => {
    const [kq, one, other] = [newQueue(), newFifo(), newFifo()]
    for (const { fd } of [one, other])
      change(kq, { ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    one.write('x')
    other.write('x')
    const [first] = due(kq, 1) // both are in the ring now
    const left = first!.ident === one.fd ? other : one
    left.close()
    expect(due(kq)).toEqual([])
  })

  test('closeDescriptor and detach refuse what is no descriptor, and close nothing', () => {
    const kq = newQueue()
    for (const wrong of [NaN, -1, 1.5, 2 ** 32, undefined as unknown as number]) {
      expect(
        codeOf(() => {
          kq.closeDescriptor(wrong)
        }),
      ).toBe('EBADF')
      expect(codeOf(() => kq.detach(wrong))).toBe('EBADF')
    }
  })

  test('detach leaves the descriptor open, and says whether it was watched', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    expect(kq.detach(fifo.fd)).toBe(true)
    expect(kq.detach(fifo.fd)).toBe(false)
    fifo.write('x')
    expect(due(kq)).toEqual([])
    expect(fifo.read(8)).toBe('x')
  })
})
