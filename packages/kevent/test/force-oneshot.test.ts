import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_TIMER,
  EVFILT_USER,
  EVFILT_WRITE,
  EV_ADD,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ERROR,
  EV_FORCEONESHOT,
  EV_FORCEOS,
  EV_KEEPUDATA,
  EV_ONESHOT,
  NOTE_DEFER,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'
import { connectLocally, descriptorOf, listen, listenLocally } from './fixtures/sockets.ts'

const FORCED = EV_ONESHOT | EV_FORCEONESHOT

const watched = (flags = 0): { kq: KQueue; fifo: Fifo; name: { ident: number; filter: number } } => {
  const [kq, fifo] = [newQueue(), newFifo()]
  const name = { ident: fifo.fd, filter: EVFILT_READ }
  change(kq, { ...name, flags: EV_ADD | flags, udata: 5 })
  return { kq, fifo, name }
}

const gone = (kq: KQueue, name: { ident: number; filter: number }): void => {
  expect(refused(kq, { ...name, flags: EV_DELETE })).toBe('ENOENT')
  expect(due(kq)).toEqual([])
}

describe('EV_FORCEONESHOT', () => {
  test('its name of 2006 is EV_FORCEOS', () => {
    expect(EV_FORCEOS).toBe(EV_FORCEONESHOT)
  })

  test('O2: an idle knote is delivered now, once, and then is gone', () => {
    const { kq, name } = watched(EV_DISPATCH)
    change(kq, { ...name, flags: EV_FORCEONESHOT })
    expect(due(kq)).toMatchObject([{ flags: FORCED | EV_DISPATCH, data: 0 }])
    gone(kq, name)
    expect(kq.counters().forced).toBe(1)
  })

  test('O3: one that a handler holds is delivered when it is enabled, drained or not', () => {
    const { kq, fifo, name } = watched(EV_DISPATCH)
    fifo.write('x')
    expect(due(kq)).toHaveLength(1)
    change(kq, { ...name, flags: EV_FORCEONESHOT })
    fifo.read(1)
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ flags: FORCED | EV_DISPATCH }])
    gone(kq, name)
  })

  test('with EV_ENABLE a held one is delivered now', () => {
    const { kq, fifo, name } = watched(EV_DISPATCH)
    fifo.write('x')
    due(kq)
    change(kq, { ...name, flags: EV_FORCEONESHOT | EV_ENABLE })
    expect(due(kq)).toMatchObject([{ flags: FORCED | EV_DISPATCH }])
    gone(kq, name)
  })

  test('O5: one that is due already is delivered once', () => {
    const { kq, fifo, name } = watched()
    fifo.write('x')
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_ONESHOT, fflags: 0x01000000 })
    expect(due(kq, 1)).toHaveLength(1)
    change(kq, { ...name, flags: EV_FORCEONESHOT })
    expect(due(kq).filter(({ filter }) => filter === EVFILT_READ)).toMatchObject([{ flags: FORCED, data: 1 }])
    gone(kq, name)
  })

  test('O6: forced twice, delivered once', () => {
    const { kq, name } = watched()
    change(kq, { ...name, flags: EV_FORCEONESHOT }, { ...name, flags: EV_FORCEONESHOT })
    expect(due(kq)).toHaveLength(1)
    gone(kq, name)
  })

  test('with EV_DELETE it is removed and not delivered', () => {
    const { kq, name } = watched()
    change(kq, { ...name, flags: EV_FORCEONESHOT | EV_DELETE })
    gone(kq, name)
  })

  test('O8: with EV_DISABLE it waits for EV_ENABLE', () => {
    const { kq, name } = watched()
    change(kq, { ...name, flags: EV_FORCEONESHOT | EV_DISABLE })
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ flags: FORCED }])
    gone(kq, name)
  })

  test('O9: replaces udata, unless EV_KEEPUDATA', () => {
    for (const [flags, udata] of [
      [0, 9],
      [EV_KEEPUDATA, 5],
    ] as const) {
      const { kq, name } = watched()
      change(kq, { ...name, flags: EV_FORCEONESHOT | flags, udata: 9 })
      expect(due(kq)).toMatchObject([{ udata }])
    }
  })

  test('in the EV_ADD that makes a knote it has no effect', () => {
    const { kq, fifo } = watched(EV_FORCEONESHOT)
    expect(due(kq)).toEqual([])
    fifo.write('x')
    for (let time = 0; time < 2; time++) expect(due(kq)).toMatchObject([{ flags: 0 }])
  })

  test('O11: in the EV_ADD of a knote that exists it forces', () => {
    const { kq, name } = watched()
    change(kq, { ...name, flags: EV_ADD | EV_FORCEONESHOT })
    expect(due(kq)).toMatchObject([{ flags: FORCED }])
    gone(kq, name)
  })

  test('O12: of a level-triggered knote it is the last delivery, though data remains', () => {
    const { kq, fifo, name } = watched()
    fifo.write('x')
    expect(due(kq)).toHaveLength(1)
    change(kq, { ...name, flags: EV_FORCEONESHOT })
    expect(due(kq)).toMatchObject([{ flags: FORCED, data: 1 }])
    gone(kq, name)
  })

  test('of an absent knote it is ENOENT', () => {
    const { kq, name } = watched()
    change(kq, { ...name, flags: EV_DELETE })
    expect(refused(kq, { ...name, flags: EV_FORCEONESHOT })).toBe('ENOENT')
  })

  // An eventfd at its maximum, which no JavaScript can make, is the core's test.
  test('O14: an idle listener, the idle read end of a FIFO, a full socket: none is ready, each is delivered', async () => {
    const [kq, fifo, { near }] = [newQueue(), newFifo(), await connectLocally()]
    near.write(Buffer.alloc(4 << 20)) // more than the kernel takes
    const knotes = [
      { ident: descriptorOf(await listen()), filter: EVFILT_READ },
      { ident: descriptorOf(await listenLocally()), filter: EVFILT_READ },
      { ident: fifo.open(constants.O_RDONLY), filter: EVFILT_READ },
      { ident: descriptorOf(near), filter: EVFILT_WRITE },
    ]
    change(kq, ...knotes.map((knote) => ({ ...knote, flags: EV_ADD })))
    expect(due(kq)).toEqual([])
    for (const knote of knotes) {
      change(kq, { ...knote, flags: EV_FORCEONESHOT })
      expect(due(kq)).toMatchObject([{ ...knote, flags: FORCED, data: 0 }])
      gone(kq, knote)
    }
  })

  test('O14: of the wrong end of a FIFO, which is never ready', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const knotes = [
      { ident: fifo.open(constants.O_WRONLY), filter: EVFILT_READ },
      { ident: fifo.open(constants.O_RDONLY), filter: EVFILT_WRITE },
    ]
    change(kq, ...knotes.map((knote) => ({ ...knote, flags: EV_ADD })))
    for (const knote of knotes) {
      change(kq, { ...knote, flags: EV_FORCEONESHOT })
      expect(due(kq)).toMatchObject([{ ...knote, flags: FORCED }])
      gone(kq, knote)
    }
  })

  describe('of an event that a handler holds, when the handler closes the descriptor', () => {
    const closeByQueue = ({ kq, fifo }: { kq: KQueue; fifo: Fifo }): void => {
      // In a thread Node closes at the end, by number, what was opened there.
      if (isMainThread) {
        kq.closeDescriptor(fifo.fd)
        fifo.forget()
      } else {
        kq.detach(fifo.fd)
        fifo.close()
      }
    }
    const closeElsewhere = ({ fifo }: { fifo: Fifo }): void => {
      fifo.close()
    }

    test.each([
      ['by the queue', closeByQueue],
      ['behind its back', closeElsewhere],
    ])('%s: nothing comes, and to force it again is EBADF', (_, close) => {
      const { kq, fifo, name } = watched(EV_DISPATCH)
      fifo.write('x')
      expect(due(kq)).toHaveLength(1)
      change(kq, { ...name, flags: EV_FORCEONESHOT })
      close({ kq, fifo })
      expect(due(kq)).toEqual([])
      expect(refused(kq, { ...name, flags: EV_FORCEONESHOT })).toBe('EBADF')
      const answer = kq.kevent([{ ...name, flags: EV_ENABLE }], 8, 0) // its level may not be looked at
      expect(answer.filter(({ flags }) => flags !== EV_ERROR)).toEqual([])
      expect(due(kq)).toEqual([])
      expect(kq.list()).toEqual([])
    })

    test.each([
      ['by the queue', closeByQueue],
      ['behind its back', closeElsewhere],
    ])('%s, and its number is another file’s: nothing comes, and to force it again is ENOENT', (_, close) => {
      const [{ kq, fifo, name }, next] = [watched(EV_DISPATCH), newFifo()]
      fifo.write('x')
      expect(due(kq)).toHaveLength(1)
      change(kq, { ...name, flags: EV_FORCEONESHOT })
      close({ kq, fifo })
      while (next.open(constants.O_RDWR) !== name.ident);
      next.write('x')
      expect(due(kq)).toEqual([])
      expect(refused(kq, { ...name, flags: EV_FORCEONESHOT })).toBe('ENOENT')
      expect(due(kq)).toEqual([])
      expect(kq.list()).toEqual([])
    })
  })

  test('O15: if the handler deletes instead of enabling, the forced delivery is gone too', () => {
    const { kq, fifo, name } = watched(EV_DISPATCH)
    fifo.write('x')
    due(kq)
    change(kq, { ...name, flags: EV_FORCEONESHOT }, { ...name, flags: EV_DELETE })
    gone(kq, name)
    expect(refused(kq, { ...name, flags: EV_FORCEONESHOT })).toBe('ENOENT')
  })

  test('EV_DELETE with NOTE_DEFER of an event that a handler has is EINPROGRESS; its EV_ENABLE brings the last one', () => {
    const { kq, fifo, name } = watched(EV_DISPATCH)
    fifo.write('x')
    due(kq)
    const defer = { ...name, flags: EV_DELETE, fflags: NOTE_DEFER, udata: 9 }
    for (let times = 0; times < 2; times++) {
      expect(refused(kq, defer)).toBe('EINPROGRESS')
    }
    fifo.read(1)
    expect(due(kq)).toEqual([])
    expect(kq.held()).toMatchObject([{ ident: fifo.fd }])
    change(kq, { ...name, flags: EV_ENABLE | EV_KEEPUDATA })
    expect(due(kq)).toMatchObject([{ flags: EV_DISPATCH | FORCED, udata: 5 }])
    gone(kq, name)
  })

  test('EV_DELETE with NOTE_DEFER removes at once what no handler has, and what its handler itself removes is gone', () => {
    const kq = newQueue()
    const name = { ident: 1, filter: EVFILT_USER }
    const defer = { ...name, flags: EV_DELETE, fflags: NOTE_DEFER }
    for (const flags of [EV_ADD, EV_ADD | EV_DISPATCH, EV_ADD | EV_DISPATCH | EV_DISABLE]) {
      change(kq, { ...name, flags, fflags: NOTE_TRIGGER }, defer)
      gone(kq, name)
    }
    change(kq, { ...name, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_TRIGGER })
    expect(due(kq)).toHaveLength(1)
    expect(kq.kevent([defer], 1)).toMatchObject([{ flags: EV_ERROR, data: system.errno.EINPROGRESS }])
    change(kq, { ...name, flags: EV_DELETE })
    gone(kq, name)
  })

  test('of USER and TIMER; a timer is forced before its time, and does not fire afterwards', () => {
    const kq = newQueue()
    change(
      kq,
      { ident: 1, filter: EVFILT_USER, flags: EV_ADD },
      { ident: 1, filter: EVFILT_TIMER, flags: EV_ADD, data: 20 },
      { ident: 1, filter: EVFILT_USER, flags: EV_FORCEONESHOT },
      { ident: 1, filter: EVFILT_TIMER, flags: EV_FORCEONESHOT },
    )
    expect(due(kq)).toHaveLength(2)
    expect(kq.kevent(null, 8, 50)).toEqual([])
    expect(kq.list()).toEqual([])
  })
})
