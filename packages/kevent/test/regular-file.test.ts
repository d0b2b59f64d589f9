import fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_READ,
  EVFILT_VNODE,
  EVFILT_WRITE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ONESHOT,
  NOTE_FILE_POLL,
  NOTE_WRITE,
} from '../src/index.ts'
import { newFolder } from './fixtures/folder.ts'
import { change, due, newQueue, own, refused } from './fixtures/queue.ts'

const newFile = (): {
  descriptor: number
  path: string
  read(bytes: number): void
} => {
  const path = join(newFolder(), 'file')
  fs.writeFileSync(path, 'abcd')
  const descriptor = fs.openSync(path, 'r')
  own({
    [Symbol.dispose]: () => {
      fs.closeSync(descriptor)
    },
  })
  return {
    descriptor,
    path,
    read: (bytes) => void fs.readSync(descriptor, Buffer.alloc(bytes)),
  }
}

describe('READ of a regular file', () => {
  test('W20: data is what lies between the offset and the end; at the end there is no event', () => {
    const [kq, file] = [newQueue(), newFile()]
    change(kq, {
      ident: file.descriptor,
      filter: EVFILT_READ,
      flags: EV_ADD,
      udata: 1,
    })
    expect(due(kq)).toEqual([
      {
        ident: file.descriptor,
        filter: EVFILT_READ,
        flags: 0,
        fflags: 0,
        data: 4,
        udata: 1,
      },
    ])
    file.read(3)
    expect(due(kq)).toMatchObject([{ data: 1 }])
    file.read(1)
    expect(due(kq)).toEqual([])
    fs.appendFileSync(file.path, 'xy')
    expect(due(kq)).toMatchObject([{ data: 2 }])
    fs.truncateSync(file.path, 1)
    expect(due(kq)).toMatchObject([{ data: -3 }])
  })

  test('EV_CLEAR: an event when it is written to', () => {
    const [kq, file] = [newQueue(), newFile()]
    change(kq, {
      ident: file.descriptor,
      filter: EVFILT_READ,
      flags: EV_ADD | EV_CLEAR,
    })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
    fs.appendFileSync(file.path, 'x')
    expect(due(kq)).toMatchObject([{ data: 5 }])
  })

  test('EV_DISPATCH: enabled while bytes are left, it comes again', () => {
    const [kq, file] = [newQueue(), newFile()]
    const knote = { ident: file.descriptor, filter: EVFILT_READ }
    change(kq, { ...knote, flags: EV_ADD | EV_DISPATCH })
    expect(due(kq)).toHaveLength(1)
    expect(due(kq)).toEqual([])
    change(kq, { ...knote, flags: EV_ENABLE })
    expect(due(kq)).toHaveLength(1)
    file.read(4)
    change(kq, { ...knote, flags: EV_ENABLE })
    expect(due(kq)).toEqual([])
  })

  test('EV_ADD with EV_ENABLE enables it as well', () => {
    const [kq, file] = [newQueue(), newFile()]
    change(kq, { ident: file.descriptor, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH })
    expect(due(kq)).toHaveLength(1)
    change(kq, { ident: file.descriptor, filter: EVFILT_READ, flags: EV_ADD | EV_ENABLE })
    expect(due(kq)).toMatchObject([{ data: 4 }])
  })

  test('NOTE_FILE_POLL: at its end, too', () => {
    const [kq, file] = [newQueue(), newFile()]
    file.read(4)
    change(kq, {
      ident: file.descriptor,
      filter: EVFILT_READ,
      flags: EV_ADD,
      fflags: NOTE_FILE_POLL,
    })
    expect(due(kq)).toMatchObject([{ data: 0 }])
  })

  test('wakes a wait', async () => {
    const [kq, file] = [newQueue(), newFile()]
    file.read(4)
    change(kq, { ident: file.descriptor, filter: EVFILT_READ, flags: EV_ADD })
    const wait = kq.wait({ timeout: 10_000 })
    fs.appendFileSync(file.path, 'x')
    expect(await wait).toMatchObject([{ data: 1 }])
  })

  test('beside a VNODE knote of the same descriptor; each goes for itself', () => {
    const [kq, file] = [newQueue(), newFile()]
    const ident = file.descriptor
    file.read(4)
    change(
      kq,
      { ident, filter: EVFILT_READ, flags: EV_ADD },
      {
        ident,
        filter: EVFILT_VNODE,
        flags: EV_ADD | EV_ONESHOT,
        fflags: NOTE_WRITE,
      },
    )
    expect(due(kq)).toEqual([])
    fs.appendFileSync(file.path, 'x')
    expect(
      due(kq)
        .map(({ filter }) => filter)
        .sort(),
    ).toEqual([EVFILT_READ, EVFILT_VNODE].sort())
    change(kq, { ident, filter: EVFILT_READ, flags: EV_DELETE })
    expect(kq.list()).toEqual([])
    fs.appendFileSync(file.path, 'x')
    expect(due(kq)).toEqual([])
  })

  test('EV_ONESHOT: once; EV_ADD of one that is there modifies it', () => {
    const [kq, file] = [newQueue(), newFile()]
    const knote = { ident: file.descriptor, filter: EVFILT_READ }
    change(kq, { ...knote, flags: EV_ADD | EV_ONESHOT }, { ...knote, flags: EV_ADD, udata: 9 })
    expect(due(kq)).toMatchObject([{ udata: 9, data: 4 }])
    expect(kq.list()).toEqual([])
  })

  test('WRITE of a regular file, READ of a directory: EPERM', () => {
    const [kq, file] = [newQueue(), newFile()]
    const folder = fs.openSync(newFolder(), 'r')
    own({
      [Symbol.dispose]: () => {
        fs.closeSync(folder)
      },
    })
    for (const [ident, filter] of [
      [file.descriptor, EVFILT_WRITE],
      [folder, EVFILT_READ],
    ] as const) {
      expect(refused(kq, { ident, filter, flags: EV_ADD })).toBe('EPERM')
    }
  })
})
