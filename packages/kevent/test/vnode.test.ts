import fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  EVFILT_VNODE,
  EV_ADD,
  EV_CLEAR,
  EV_DELETE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ONESHOT,
  NOTE_ATTRIB,
  NOTE_DELETE,
  NOTE_EXTEND,
  NOTE_LINK,
  NOTE_RENAME,
  NOTE_WRITE,
  NOTE_CLOSE,
  NOTE_CLOSE_WRITE,
  NOTE_OPEN,
  NOTE_READ,
} from '../src/index.ts'
import type { KQueue } from '../src/index.ts'
import { newFolder } from './fixtures/folder.ts'
import { change, due, newFifo, newQueue, own, refused } from './fixtures/queue.ts'
import { connect, descriptorOf } from './fixtures/sockets.ts'

const CHANGES = NOTE_DELETE | NOTE_WRITE | NOTE_EXTEND | NOTE_ATTRIB | NOTE_LINK | NOTE_RENAME

const open = (path: string, flags = 'r'): number => {
  const descriptor = fs.openSync(path, flags)
  own({
    [Symbol.dispose]: () => {
      fs.closeSync(descriptor)
    },
  })
  return descriptor
}

const watch = (descriptor: number, fflags = CHANGES, flags = EV_CLEAR): KQueue => {
  const kq = newQueue()
  change(kq, {
    ident: descriptor,
    filter: EVFILT_VNODE,
    flags: EV_ADD | flags,
    fflags,
    udata: 3,
  })
  return kq
}

const notes = (kq: KQueue): number => due(kq)[0]?.fflags ?? 0

/** A folder, and a file of four bytes in it. */
const newFile = (): { folder: string; path: string } => {
  const folder = newFolder()
  const path = join(folder, 'file')
  fs.writeFileSync(path, '1234')
  return { folder, path }
}

describe('VNODE of a file', () => {
  test('V1: appended to: WRITE and EXTEND', () => {
    const { path } = newFile()
    const kq = watch(open(path))
    expect(due(kq)).toEqual([])
    fs.appendFileSync(path, 'x')
    expect(due(kq)).toMatchObject([
      {
        filter: EVFILT_VNODE,
        flags: EV_CLEAR,
        fflags: NOTE_WRITE | NOTE_EXTEND,
        udata: 3,
      },
    ])
    expect(due(kq)).toEqual([])
  })

  test('V3: written over in place: WRITE alone; truncated upwards: EXTEND', () => {
    const { path } = newFile()
    const descriptor = open(path, 'r+')
    const kq = watch(descriptor)
    fs.writeSync(descriptor, 'ab', 0)
    expect(notes(kq)).toBe(NOTE_WRITE)
    fs.ftruncateSync(descriptor, 100)
    expect(notes(kq)).toBe(NOTE_WRITE | NOTE_EXTEND)
    fs.ftruncateSync(descriptor, 10)
    expect(notes(kq)).toBe(NOTE_WRITE)
  })

  test('links, attributes, names', () => {
    const { folder, path } = newFile()
    const kq = watch(open(path))
    fs.linkSync(path, join(folder, 'second'))
    expect(notes(kq)).toBe(NOTE_LINK)
    fs.chmodSync(path, 0o600)
    expect(notes(kq)).toBe(NOTE_ATTRIB)
    fs.utimesSync(path, 1, 1)
    expect(notes(kq)).toBe(NOTE_ATTRIB)
    fs.renameSync(path, join(folder, 'other'))
    expect(notes(kq)).toBe(NOTE_RENAME)
    fs.unlinkSync(join(folder, 'second'))
    expect(notes(kq)).toBe(NOTE_DELETE | NOTE_LINK)
    fs.unlinkSync(join(folder, 'other'))
    expect(notes(kq)).toBe(NOTE_DELETE | NOTE_LINK)
  })

  test('the file is watched, not its name: replaced by a rename it is deleted', () => {
    const { folder, path } = newFile()
    const kq = watch(open(path))
    fs.writeFileSync(join(folder, 'new'), '')
    fs.renameSync(join(folder, 'new'), path)
    expect(notes(kq)).toBe(NOTE_DELETE | NOTE_LINK)
    fs.appendFileSync(path, 'x')
    expect(due(kq)).toEqual([])
  })

  test('opened, read and closed', () => {
    const { path } = newFile()
    const kq = watch(open(path), NOTE_OPEN | NOTE_CLOSE | NOTE_CLOSE_WRITE | NOTE_READ)
    const reader = fs.openSync(path, 'r')
    expect(notes(kq)).toBe(NOTE_OPEN)
    fs.readSync(reader, Buffer.alloc(1))
    expect(notes(kq)).toBe(NOTE_READ)
    fs.closeSync(reader)
    expect(notes(kq)).toBe(NOTE_CLOSE)
    const writer = fs.openSync(path, 'r+')
    fs.closeSync(writer)
    expect(notes(kq)).toBe(NOTE_OPEN | NOTE_CLOSE_WRITE)
  })

  test('V6: what happened adds up to one event, which stays without EV_CLEAR', () => {
    const { path } = newFile()
    const kq = watch(open(path), CHANGES, 0)
    fs.chmodSync(path, 0o600)
    fs.appendFileSync(path, 'x')
    for (let time = 0; time < 3; time++) {
      expect(due(kq)).toMatchObject([{ fflags: NOTE_ATTRIB | NOTE_WRITE | NOTE_EXTEND }])
    }
  })

  test('only what was asked for', () => {
    const { path } = newFile()
    const kq = watch(open(path), NOTE_RENAME)
    fs.appendFileSync(path, 'x')
    fs.chmodSync(path, 0o600)
    expect(due(kq)).toEqual([])
  })

  test('R4: EV_ADD with other fflags: only the new ones are told', () => {
    const { path } = newFile()
    const descriptor = open(path)
    const kq = watch(descriptor, NOTE_WRITE)
    fs.appendFileSync(path, 'x')
    change(kq, {
      ident: descriptor,
      filter: EVFILT_VNODE,
      flags: EV_ADD,
      fflags: NOTE_ATTRIB,
    })
    fs.appendFileSync(path, 'x')
    expect(due(kq)).toEqual([])
    fs.chmodSync(path, 0o600)
    expect(notes(kq)).toBe(NOTE_ATTRIB)
  })

  test('what came before the EV_ADD is not for it', () => {
    const { path } = newFile()
    const [first, second] = [open(path), open(path)]
    const kq = watch(first)
    fs.appendFileSync(path, 'x')
    change(kq, {
      ident: second,
      filter: EVFILT_VNODE,
      flags: EV_ADD | EV_CLEAR,
      fflags: NOTE_WRITE,
    })
    expect(due(kq)).toMatchObject([{ ident: first }])
    fs.appendFileSync(path, 'x')
    expect(
      due(kq)
        .map(({ ident }) => ident)
        .sort(),
    ).toEqual([first, second].sort())
  })

  test('EV_ONESHOT: once', () => {
    const { path } = newFile()
    const descriptor = open(path)
    const kq = watch(descriptor, CHANGES, EV_ONESHOT)
    fs.appendFileSync(path, 'x')
    expect(due(kq)).toHaveLength(1)
    fs.appendFileSync(path, 'x')
    expect(due(kq)).toEqual([])
    expect(
      refused(kq, {
        ident: descriptor,
        filter: EVFILT_VNODE,
        flags: EV_DELETE,
      }),
    ).toBe('ENOENT')
  })

  test('EV_DISPATCH: what happens meanwhile is told when it is enabled', () => {
    const { path } = newFile()
    const descriptor = open(path)
    const kq = watch(descriptor, CHANGES, EV_DISPATCH | EV_CLEAR)
    fs.appendFileSync(path, 'x')
    expect(notes(kq)).toBe(NOTE_WRITE | NOTE_EXTEND)
    fs.chmodSync(path, 0o600)
    expect(due(kq)).toEqual([])
    change(kq, { ident: descriptor, filter: EVFILT_VNODE, flags: EV_ENABLE })
    expect(notes(kq)).toBe(NOTE_ATTRIB)
  })

  test('V7: of a pipe or a socket EINVAL; REVOKE and unknown notes EINVAL', async () => {
    const [kq, { near }, { path }] = [newQueue(), await connect(), newFile()]
    for (const ident of [newFifo().fd, descriptorOf(near)]) {
      expect(
        refused(kq, {
          ident,
          filter: EVFILT_VNODE,
          flags: EV_ADD,
          fflags: NOTE_WRITE,
        }),
      ).toBe('EINVAL')
    }
    for (const fflags of [0x40, 0x800]) {
      expect(
        refused(kq, {
          ident: open(path),
          filter: EVFILT_VNODE,
          flags: EV_ADD,
          fflags,
        }),
      ).toBe('EINVAL')
    }
    expect(kq.list()).toEqual([])
  })

  test('wakes a wait in the event loop', async () => {
    const { path } = newFile()
    const kq = watch(open(path))
    const wait = kq.wait({ timeout: 10_000 })
    fs.appendFileSync(path, 'x')
    expect(await wait).toHaveLength(1)
  })
})

describe('V4: VNODE of a directory', () => {
  const ENTRY = NOTE_WRITE | NOTE_LINK
  const within = (
    act: (folder: string, outside: string) => void,
    prepare?: (folder: string) => void,
  ): number => {
    const [folder, outside] = [newFolder(), newFolder()]
    fs.mkdirSync(join(folder, 'there'))
    fs.mkdirSync(join(outside, 'there'))
    fs.writeFileSync(join(folder, 'file'), '')
    fs.writeFileSync(join(outside, 'file'), '')
    prepare?.(folder)
    const kq = watch(open(folder))
    act(folder, outside)
    return notes(kq)
  }

  test.each<[string, number, (folder: string, outside: string) => void]>([
    [
      'mkdir',
      ENTRY,
      (folder) => {
        fs.mkdirSync(join(folder, 'new'))
      },
    ],
    [
      'rmdir',
      ENTRY,
      (folder) => {
        fs.rmdirSync(join(folder, 'there'))
      },
    ],
    [
      'a directory moves in',
      ENTRY | NOTE_EXTEND,
      (folder, outside) => {
        fs.renameSync(join(outside, 'there'), join(folder, 'in'))
      },
    ],
    [
      'a directory moves out',
      ENTRY | NOTE_EXTEND,
      (folder, outside) => {
        fs.renameSync(join(folder, 'there'), join(outside, 'out'))
      },
    ],
    [
      'a directory moves within',
      NOTE_WRITE,
      (folder) => {
        fs.renameSync(join(folder, 'there'), join(folder, 'other'))
      },
    ],
    [
      'a file is made',
      NOTE_WRITE,
      (folder) => {
        fs.writeFileSync(join(folder, 'new'), 'x')
      },
    ],
    [
      'a file is removed',
      NOTE_WRITE,
      (folder) => {
        fs.unlinkSync(join(folder, 'file'))
      },
    ],
    [
      'a file moves in',
      NOTE_WRITE | NOTE_EXTEND,
      (folder, outside) => {
        fs.renameSync(join(outside, 'file'), join(folder, 'in'))
      },
    ],
    [
      'a file moves out',
      NOTE_WRITE | NOTE_EXTEND,
      (folder, outside) => {
        fs.renameSync(join(folder, 'file'), join(outside, 'out'))
      },
    ],
    [
      'a file moves within',
      NOTE_WRITE,
      (folder) => {
        fs.renameSync(join(folder, 'file'), join(folder, 'other'))
      },
    ],
    [
      'a file in it is written to',
      0,
      (folder) => {
        fs.appendFileSync(join(folder, 'file'), 'x')
      },
    ],
    [
      'a file in it changes its mode',
      0,
      (folder) => {
        fs.chmodSync(join(folder, 'file'), 0o600)
      },
    ],
    [
      'it changes its own mode',
      NOTE_ATTRIB,
      (folder) => {
        fs.chmodSync(folder, 0o700)
      },
    ],
  ])('%s', (_, expected, act) => {
    expect(within(act)).toBe(expected)
  })

  test('it is renamed, and removed at its new place', () => {
    const [folder, other] = [newFolder(), newFolder()]
    fs.mkdirSync(join(folder, 'watched'))
    const kq = watch(open(join(folder, 'watched')))
    fs.renameSync(join(folder, 'watched'), join(other, 'moved'))
    expect(notes(kq)).toBe(NOTE_RENAME)
    fs.rmdirSync(join(other, 'moved'))
    expect(notes(kq) & NOTE_DELETE).toBe(NOTE_DELETE)
  })

  test('of a symbolic link’s target, of /dev/null, of the root', () => {
    const kq = newQueue()
    fs.symlinkSync('/', join(newFolder(), 'link'))
    for (const path of ['/dev/null', '/', tmpdir()]) {
      change(kq, {
        ident: open(path),
        filter: EVFILT_VNODE,
        flags: EV_ADD,
        fflags: NOTE_RENAME,
      })
    }
    expect(kq.list()).toHaveLength(3)
  })
})
