import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs, { constants } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_VNODE,
  EVFILT_WRITE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_FORCEONESHOT,
  NOTE_WRITE,
} from '../src/index.ts'
import type { Fifo } from './fixtures/fifo.ts'
import { newFolder } from './fixtures/folder.ts'
import { change, due, newFifo, newQueue, own, refused } from './fixtures/queue.ts'

const read = { filter: EVFILT_READ, flags: EV_ADD }

/** A descriptor of a FIFO, closed behind the queue's back; the number is given to `next` at once. */
const reuse = (fifo: Fifo, ident: number, next: Fifo): void => {
  fifo.close(ident)
  while (next.open(constants.O_RDWR) !== ident);
}

describe('a descriptor that is closed behind the queue’s back', () => {
  test('X1, X6: is no event any more, though it stood in the queue', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read })
    fifo.write('x')
    expect(due(kq)).toHaveLength(1) // and is queued again: it is level-triggered
    fifo.close(ident)
    expect(due(kq)).toEqual([])
    expect(kq.list()).toEqual([])
  })

  test('X2: EV_DELETE, EV_ENABLE, EV_DISABLE are EBADF', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    for (const flags of [EV_DELETE, EV_ENABLE, EV_DISABLE, EV_FORCEONESHOT]) {
      const ident = fifo.open(constants.O_RDWR)
      change(kq, { ident, ...read })
      fifo.close(ident)
      expect(refused(kq, { ident, filter: EVFILT_READ, flags })).toBe('EBADF')
    }
  })

  test('a forced event vanishes with it', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read }, { ident, filter: EVFILT_READ, flags: EV_FORCEONESHOT })
    fifo.close(ident)
    expect(due(kq)).toEqual([])
    expect(kq.list()).toEqual([])
  })
})

describe('a number that is given to another file', () => {
  test.each([
    ['level-triggered', 0],
    ['EV_CLEAR', EV_CLEAR],
    ['EV_DISPATCH', EV_DISPATCH],
  ])('X3: EV_ADD, %s: what the old one had is not delivered', (_, flags) => {
    const [kq, fifo, next] = [newQueue(), newFifo(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read, flags: EV_ADD | flags, udata: 1 })
    fifo.write('x')
    expect(due(kq)).toHaveLength(1)
    reuse(fifo, ident, next)
    change(kq, { ident, ...read, udata: 2 })
    expect(due(kq)).toEqual([])
    next.write('ab')
    expect(due(kq)).toMatchObject([{ udata: 2, data: 2 }])
    expect(kq.list()).toHaveLength(1)
  })

  test('X3: without an EV_ADD: no event of the new one', () => {
    const [kq, fifo, next] = [newQueue(), newFifo(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read }, { ident, filter: EVFILT_WRITE, flags: EV_ADD })
    fifo.write('x')
    expect(due(kq)).toHaveLength(2)
    reuse(fifo, ident, next)
    next.write('ab')
    expect(due(kq)).toEqual([])
    expect(due(kq)).toEqual([])
    expect(kq.list()).toEqual([])
  })

  test('X6: taken from the kernel, not yet fetched, and given to another file', () => {
    const kq = newQueue()
    const fifos = [newFifo(), newFifo(), newFifo()]
    const idents = fifos.map((fifo) => fifo.open(constants.O_RDWR))
    change(
      kq,
      ...idents.map((ident) => ({
        ident,
        ...read,
        flags: EV_ADD | EV_DISPATCH,
      })),
    )
    for (const fifo of fifos) fifo.write('x')
    const [first] = due(kq, 1) // the others are in the ring now
    const next = newFifo()
    next.write('ab')
    const other = idents.findIndex((ident) => ident !== first!.ident)
    reuse(fifos[other]!, idents[other]!, next)
    const left = idents.filter((ident) => ident !== first!.ident && ident !== idents[other])
    expect(due(kq).map(({ ident }) => ident)).toEqual(left)
  })

  test.each([0, 1])('X7: EV_ENABLE is ENOENT, whether the new file is ready (%i) or not', (ready) => {
    const [kq, fifo, next] = [newQueue(), newFifo(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read, flags: EV_ADD | EV_DISPATCH })
    fifo.write('x')
    expect(due(kq)).toHaveLength(1)
    reuse(fifo, ident, next)
    if (ready === 1) next.write('ab')
    expect(refused(kq, { ident, filter: EVFILT_READ, flags: EV_ENABLE })).toBe('ENOENT')
    expect(due(kq)).toEqual([])
    expect(kq.list()).toEqual([])
  })

  test.each([
    ['EV_DELETE', EV_DELETE],
    ['EV_DISABLE', EV_DISABLE],
    ['EV_FORCEONESHOT', EV_FORCEONESHOT],
  ])('%s is ENOENT, whether a handler holds the old knote or not', (_, flags) => {
    for (const held of [false, true]) {
      const [kq, fifo, next] = [newQueue(), newFifo(), newFifo()]
      const ident = fifo.open(constants.O_RDWR)
      change(kq, { ident, ...read, flags: EV_ADD | EV_DISPATCH })
      if (held) fifo.write('x')
      expect(due(kq)).toHaveLength(held ? 1 : 0)
      reuse(fifo, ident, next)
      next.write('ab')
      expect(refused(kq, { ident, filter: EVFILT_READ, flags })).toBe('ENOENT')
      expect(due(kq)).toEqual([])
      expect(kq.list()).toEqual([])
    }
  })

  test('EV_ADD of the other filter: the old knote goes', () => {
    const [kq, fifo, next] = [newQueue(), newFifo(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read })
    reuse(fifo, ident, next)
    change(kq, { ident, filter: EVFILT_WRITE, flags: EV_ADD })
    next.write('ab')
    expect(due(kq).map(({ filter }) => filter)).toEqual([EVFILT_WRITE])
  })

  test('from a FIFO to a regular file, and back', () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const path = join(newFolder(), 'file')
    fs.writeFileSync(path, 'abc')
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read, udata: 1 })
    fifo.close(ident)
    const file = fs.openSync(path, 'r')
    expect(file).toBe(ident)
    change(kq, { ident, ...read, udata: 2 })
    expect(due(kq)).toMatchObject([{ udata: 2, data: 3 }])
    fs.closeSync(file)
    expect(due(kq)).toEqual([])
    expect(fifo.open(constants.O_RDWR)).toBe(ident)
    change(kq, { ident, ...read, udata: 3 })
    fifo.write('x')
    expect(due(kq)).toMatchObject([{ udata: 3, data: 1 }])
  })

  test('VNODE: no event of the new file; EV_ENABLE is ENOENT, EV_DELETE of a closed one EBADF', () => {
    const kq = newQueue()
    const paths = ['one', 'two'].map((name) => join(newFolder(), name))
    for (const path of paths) fs.writeFileSync(path, 'abc')
    const [first, second] = paths as [string, string]
    const ident = fs.openSync(first, 'r')
    const vnode = { ident, filter: EVFILT_VNODE }
    change(kq, { ...vnode, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_WRITE })
    fs.closeSync(ident)
    expect(fs.openSync(second, 'r')).toBe(ident)
    fs.appendFileSync(first, 'x')
    fs.appendFileSync(second, 'x')
    expect(due(kq)).toEqual([])
    expect(refused(kq, { ...vnode, flags: EV_ENABLE })).toBe('ENOENT')
    change(kq, { ...vnode, flags: EV_ADD, fflags: NOTE_WRITE })
    fs.closeSync(ident)
    expect(refused(kq, { ...vnode, flags: EV_DELETE })).toBe('EBADF')
    expect(kq.list()).toEqual([])
  })
})

describe('a duplicate that lives on elsewhere', () => {
  test('X8, X9: a child that inherited it: no events of what is closed here, and nothing spins', async () => {
    const [kq, fifo] = [newQueue(), newFifo()]
    const ident = fifo.open(constants.O_RDWR)
    change(kq, { ident, ...read })
    // Descriptor 3 of the child is this very file.
    const script = 'import os,select; os.write(1,b"!"); select.select([3],[],[]); os.write(1,os.read(3,9))'
    const child = own(
      spawn('python3', ['-c', script], {
        stdio: ['ignore', 'pipe', 'ignore', ident],
      }),
    )
    await once(child.stdout!, 'data')
    fifo.close(ident)
    const before = kq.counters()
    fifo.write('hello')
    expect(kq.kevent(null, 8, 50)).toEqual([])
    const [line] = (await once(child.stdout!, 'data')) as [Buffer]
    expect(line.toString()).toBe('hello')
    expect(kq.kevent(null, 8, 50)).toEqual([])
    expect(kq.counters().stale - before.stale).toBeLessThanOrEqual(1)
  })
})

describe('closeDescriptor and detach', () => {
  test('take the knotes of all filters with them', () => {
    const kq = newQueue()
    const path = join(newFolder(), 'file')
    fs.writeFileSync(path, 'abc')
    for (const close of [
      (ident: number) => {
        kq.closeDescriptor(ident)
      },
      (ident: number) => {
        kq.detach(ident)
        fs.closeSync(ident)
      },
    ]) {
      const ident = fs.openSync(path, 'r')
      change(
        kq,
        { ident, filter: EVFILT_READ, flags: EV_ADD },
        { ident, filter: EVFILT_VNODE, flags: EV_ADD, fflags: NOTE_WRITE },
      )
      expect(kq.list()).toHaveLength(2)
      close(ident)
      expect(kq.list()).toEqual([])
    }
  })
})
