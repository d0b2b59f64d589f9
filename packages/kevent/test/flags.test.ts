import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EVFILT_WRITE,
  EVFILT_TIMER,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_EOF,
  EV_ERROR,
  EV_KEEPUDATA,
  EV_ONESHOT,
  EV_RECEIPT,
  EV_FORCEONESHOT,
  NOTE_TRIGGER,
} from '../src/index.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'

const invalid = (flags: number): void => {
  const [kq, fifo] = [newQueue(), newFifo()]
  expect(refused(kq, { ident: fifo.fd, filter: EVFILT_READ, flags })).toBe('EINVAL')
  expect(kq.list()).toEqual([])
}

describe('flags of a change', () => {
  test('F1: ENABLE and DISABLE together are EINVAL, and no knote is made', () => {
    invalid(EV_ADD | EV_ENABLE | EV_DISABLE)
  })

  test('F2: unknown flags are EINVAL, and no knote is made', () => {
    invalid(EV_ADD | 0x0400)
    invalid(EV_ADD | 0x0800)
  })

  test('KEEPUDATA with ADD is EINVAL', () => {
    invalid(EV_ADD | EV_KEEPUDATA)
  })

  test('F4, F5: what is no filter is EINVAL', () => {
    const kq = newQueue()
    for (const filter of [5, -60, -16]) {
      expect(refused(kq, { ident: 1, filter, flags: EV_ADD })).toBe('EINVAL')
    }
  })

  test('filters that this queue does not have are ENXIO', () => {
    const kq = newQueue()
    for (const filter of [-3, -10, -12, -14, -15]) {
      expect(refused(kq, { ident: 1, filter, flags: EV_ADD })).toBe('ENXIO')
    }
  })

  test('F7, F8: DELETE, ENABLE, DISABLE and no flag at all of an absent knote are ENOENT', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    for (const flags of [EV_DELETE, EV_ENABLE, EV_DISABLE, 0, EV_FORCEONESHOT]) {
      expect(refused(kq, { ident: fifo.fd, filter: EVFILT_READ, flags })).toBe('ENOENT')
      expect(refused(kq, { ident: 1, filter: EVFILT_USER, flags })).toBe('ENOENT')
    }
  })

  test('a descriptor that is not open is EBADF, for every change', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    fifo.close()
    for (const flags of [EV_ADD, EV_DELETE, EV_ENABLE, EV_DISABLE]) {
      expect(refused(kq, { ident: fifo.fd, filter: EVFILT_READ, flags })).toBe('EBADF')
      expect(refused(kq, { ident: -1, filter: EVFILT_READ, flags })).toBe('EBADF')
    }
  })

  test('so is one that was closed behind the queue, for ENABLE, DISABLE and FORCEONESHOT', () => {
    for (const flags of [EV_ENABLE, EV_DISABLE, EV_FORCEONESHOT]) {
      const [kq, fifo] = [newQueue(), newFifo()]
      change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
      fifo.close()
      const ident = fifo.fd
      expect(refused(kq, { ident, filter: EVFILT_READ, flags })).toBe('EBADF')
      expect(kq.kevent([{ ident, filter: EVFILT_READ, flags, udata: 3 }], 4, 0)).toEqual([
        { ident, filter: EVFILT_READ, flags: EV_ERROR, fflags: 0, data: 9, udata: 3 },
      ])
    }
  })

  test('F10: a change of filter 0 is skipped, its neighbours are applied', () => {
    const kq = newQueue()
    change(
      kq,
      { ident: 1, filter: EVFILT_USER, flags: EV_ADD },
      { ident: 9, filter: 0, flags: 0x0c00 },
      { ident: 2, filter: EVFILT_USER, flags: EV_ADD },
    )
    expect(
      kq
        .list()
        .map(({ ident }) => ident)
        .sort(),
    ).toEqual([1, 2])
  })

  test('a queue cannot watch itself', () => {
    const kq = newQueue()
    const ident = kq.descriptor
    expect(refused(kq, { ident, filter: EVFILT_READ, flags: EV_ADD })).toBe('EINVAL')
  })

  test('F13: the system flags of a change are ignored', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | 0xf000 })
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ flags: 0, data: 1 }])
  })

  test('F14: a returned event is a good change, whatever it carries', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    fifo.write('x')
    const [event] = due(kq)
    change(kq, { ...event!, flags: event!.flags | EV_EOF | EV_ENABLE, fflags: 104 })
    expect(due(kq)).toHaveLength(1)
  })

  test('unknown fflags of an EV_ADD are EINVAL', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    for (const [ident, filter] of [
      [fifo.fd, EVFILT_READ],
      [fifo.fd, EVFILT_WRITE],
      [1, EVFILT_TIMER],
    ] as const) {
      expect(refused(kq, { ident, filter, flags: EV_ADD, fflags: 0x100 })).toBe('EINVAL')
    }
    expect(refused(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: 0x02000000 })).toBe('EINVAL')
  })

  test('WRITE of a regular file is EPERM', async () => {
    const { openSync, closeSync } = await import('node:fs')
    const [kq, fd] = [newQueue(), openSync(import.meta.filename, 'r')]
    expect(refused(kq, { ident: fd, filter: EVFILT_WRITE, flags: EV_ADD })).toBe('EPERM')
    expect(kq.list()).toEqual([])
    closeSync(fd)
  })

  test('DELETE wins over ADD, ENABLE, DISABLE and FORCEONESHOT of the same change', () => {
    for (const flags of [EV_ADD, EV_ENABLE, EV_DISABLE, EV_FORCEONESHOT]) {
      const kq = newQueue()
      change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
      change(kq, { ident: 1, filter: EVFILT_USER, flags: flags | EV_DELETE })
      expect(due(kq)).toEqual([])
      expect(kq.list()).toEqual([])
    }
    expect(refused(newQueue(), { ident: 1, filter: EVFILT_USER, flags: EV_ADD | EV_DELETE })).toBe('ENOENT')
  })
})

describe('level, CLEAR, ONESHOT, DISABLE', () => {
  test('L1: a level-triggered knote is delivered for as long as it is ready', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    fifo.write('x')
    for (let time = 0; time < 2; time++) expect(due(kq)).toMatchObject([{ data: 1 }])
    fifo.read(1)
    expect(due(kq)).toEqual([])
  })

  test('L3: CLEAR delivers what is new, with all that is there', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    fifo.write('a')
    fifo.write('b')
    expect(due(kq)).toMatchObject([{ data: 2, flags: EV_CLEAR }])
    expect(due(kq)).toEqual([])
    fifo.read(1)
    expect(due(kq)).toEqual([])
    fifo.write('c')
    expect(due(kq)).toMatchObject([{ data: 2 }])
  })

  test('L4: ONESHOT is delivered once, and then is gone', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_ONESHOT })
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ flags: EV_ONESHOT, data: 1 }])
    expect(due(kq)).toEqual([])
    expect(refused(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_DELETE })).toBe('ENOENT')
  })

  test('a ONESHOT that is drained before it is fetched is not delivered, and not used up', () => {
    const kq = newQueue()
    const fifos = [newFifo(), newFifo()]
    change(kq, ...fifos.map(({ fd }) => ({ ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_ONESHOT })))
    fifos[0]!.write('x')
    fifos[0]!.read(1)
    expect(due(kq)).toEqual([])
    for (const fifo of fifos) fifo.write('x')
    const [first] = due(kq, 1) // the other is in the ring now
    const other = fifos.find(({ fd }) => fd !== first!.ident)!
    other.read(1)
    expect(due(kq)).toEqual([])
    other.write('yz')
    expect(due(kq)).toMatchObject([{ ident: other.fd, flags: EV_ONESHOT, data: 2 }])
    expect(due(kq)).toEqual([])
    expect(kq.list()).toEqual([])
  })

  test('L6: a disabled knote is silent; enabled, it delivers what came meanwhile', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_DISABLE })
    fifo.write('x')
    expect(due(kq)).toEqual([])
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('L7, R3: ADD|DISABLE of what is ready is silent until it is enabled', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    fifo.write('x')
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISABLE })
    expect(due(kq)).toEqual([])
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ data: 1 }])
  })

  test('a knote that is in the ring is silent once it is disabled', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_DISABLE })
    expect(due(kq)).toEqual([])
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ENABLE })
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('L9: deleted while it stands in the ring, it is not delivered, nor is what follows under its name', () => {
    const kq = newQueue()
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_DELETE })
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD })
    expect(due(kq)).toEqual([])
  })

  test('L10: drained before it was fetched, it is not delivered; written to again, it is', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    fifo.write('x')
    fifo.read(1)
    expect(due(kq)).toEqual([])
    fifo.write('x')
    expect(due(kq)).toHaveLength(1)
  })
})

describe('EV_ADD of a knote that exists', () => {
  test('R1: replaces udata, and makes no second event', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD, udata: 1 })
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD, udata: 2 })
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ udata: 2 }])
  })

  test('R1: with EV_CLEAR and data that is there, one event and not two', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    fifo.write('x')
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    expect(due(kq)).toHaveLength(1)
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_CLEAR })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
  })

  test('R2: its ONESHOT is not heeded', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_ONESHOT })
    fifo.write('x')
    for (let time = 0; time < 2; time++) expect(due(kq)).toHaveLength(1)
  })

  test.each([
    ['EV_CLEAR', EV_CLEAR],
    ['EV_DISPATCH', EV_DISPATCH],
    ['EV_ONESHOT', EV_ONESHOT],
    ['EV_RECEIPT', EV_RECEIPT],
  ])('neither gives it %s nor takes that away', (_, flag) => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const knote = { ident: fifo.fd, filter: EVFILT_READ }
    change(kq, { ...knote, flags: EV_ADD })
    change(kq, { ...knote, flags: EV_ADD | flag })
    expect(kq.list()).toMatchObject([{ flags: 0 }])
    fifo.write('x')
    for (let time = 0; time < 2; time++) expect(due(kq)).toMatchObject([{ flags: 0 }])
    change(kq, { ...knote, flags: EV_DELETE })
    change(kq, { ...knote, flags: EV_ADD | flag })
    change(kq, { ...knote, flags: EV_ADD })
    expect(kq.list()).toMatchObject([{ flags: flag }])
    expect(due(kq)).toMatchObject([{ flags: flag }])
    expect(due(kq)).toHaveLength(flag === EV_RECEIPT ? 1 : 0)
  })

  test('R5: leaves a disabled knote disabled', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISABLE })
    fifo.write('x')
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD })
    expect(due(kq)).toEqual([])
    change(kq, { ident: fifo.fd, filter: EVFILT_READ, flags: EV_ADD | EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })
})
