import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_USER,
  EVFILT_WRITE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_DOD,
  EV_ENABLE,
  EV_KEEPUDATA,
  EV_ONESHOT,
  NOTE_TRIGGER,
} from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { change, due, newFifo, newQueue, refused } from './fixtures/queue.ts'

const delivered = (flags = 0): { kq: KQueue; fifo: Fifo; name: { ident: number; filter: number } } => {
  const [kq, fifo] = [newQueue(), newFifo()]
  const name = { ident: fifo.fd, filter: EVFILT_READ }
  change(kq, { ...name, flags: EV_ADD | EV_DISPATCH | flags, udata: 5 })
  fifo.write('x')
  expect(due(kq)).toMatchObject([{ flags: EV_DISPATCH | flags, udata: 5 }])
  return { kq, fifo, name }
}

describe('EV_DISPATCH', () => {
  test('its name of 2006 is EV_DOD', () => {
    expect(EV_DOD).toBe(EV_DISPATCH)
  })

  test('D1: delivered, it is disabled until EV_ENABLE, and then is delivered if it is still ready', () => {
    const { kq, name } = delivered()
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('D2: EV_ENABLE replaces udata', () => {
    const { kq, name } = delivered()
    change(kq, { ...name, flags: EV_ENABLE, udata: 6 })
    expect(due(kq)).toMatchObject([{ udata: 6 }])
  })

  test('drained before EV_ENABLE, it is not delivered until there is more', () => {
    const { kq, fifo, name } = delivered()
    fifo.read(1)
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toEqual([])
    fifo.write('y')
    expect(due(kq)).toHaveLength(1)
  })

  test('D4: EV_KEEPUDATA keeps it', () => {
    const { kq, name } = delivered()
    change(kq, { ...name, flags: EV_ENABLE | EV_KEEPUDATA, udata: 9 })
    expect(due(kq)).toMatchObject([{ udata: 5 }])
  })

  test('D5: EV_ADD without EV_ENABLE does not enable', () => {
    const { kq, name } = delivered()
    change(kq, { ...name, flags: EV_ADD })
    expect(due(kq)).toEqual([])
  })

  test('with EV_CLEAR, EV_ENABLE looks at the source all the same', () => {
    const { kq, name } = delivered(EV_CLEAR)
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('D7: EV_DELETE of a delivered knote', () => {
    const { kq, fifo, name } = delivered()
    change(kq, { ...name, flags: EV_DELETE })
    fifo.write('y')
    expect(due(kq)).toEqual([])
    expect(kq.held()).toEqual([])
  })

  test('D8: with EV_ONESHOT it is delivered once and gone', () => {
    const { kq, name } = delivered(EV_ONESHOT)
    expect(refused(kq, { ...name, flags: EV_DELETE })).toBe('ENOENT')
  })

  test('EV_DISABLE of a delivered knote changes nothing', () => {
    const { kq, name } = delivered()
    change(kq, { ...name, flags: EV_DISABLE })
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('D10: what arrives while it is held is not lost', () => {
    const { kq, fifo, name } = delivered()
    fifo.read(1)
    fifo.write('y')
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ data: 1 }])
  })

  test('D11: of WRITE', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const name = { ident: fifo.fd, filter: EVFILT_WRITE }
    change(kq, { ...name, flags: EV_ADD | EV_DISPATCH })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
  })

  test('READ and WRITE of one descriptor are dispatched each for itself', () => {
    const { kq, fifo, name } = delivered()
    const write = { ident: fifo.fd, filter: EVFILT_WRITE }
    change(kq, { ...write, flags: EV_ADD | EV_DISPATCH })
    expect(due(kq)).toMatchObject([{ filter: EVFILT_WRITE }])
    change(kq, { ...write, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ filter: EVFILT_WRITE }])
    change(kq, { ...name, flags: EV_ENABLE })
    expect(due(kq)).toMatchObject([{ filter: EVFILT_READ }])
  })

  test('D16: a call without a timeout returns when it has an event, whatever was drained before', () => {
    const { kq, fifo, name } = delivered()
    fifo.read(1)
    change(kq, { ident: 1, filter: EVFILT_USER, flags: EV_ADD, fflags: NOTE_TRIGGER })
    expect(kq.kevent([{ ...name, flags: EV_ENABLE }], 1)).toMatchObject([{ filter: EVFILT_USER }])
  })

  test('a changelist of many EV_ENABLE reads all their levels', () => {
    const kq = newQueue()
    const fifos = Array.from({ length: 100 }, newFifo)
    change(kq, ...fifos.map(({ fd }) => ({ ident: fd, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })))
    for (const fifo of fifos) fifo.write('x')
    for (let round = 0; round < 3; round++) {
      const events = [...due(kq, 128), ...due(kq, 128)]
      expect(new Set(events.map(({ ident }) => ident)).size).toBe(100)
      expect(events).toHaveLength(100)
      change(kq, ...events.map(({ ident, filter }) => ({ ident, filter, flags: EV_ENABLE })))
    }
  })
})
