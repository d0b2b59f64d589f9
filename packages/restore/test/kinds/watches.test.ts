import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  FanotifyFileEntrySchema,
  FdType,
  InotifyFileEntrySchema,
  makeMessage,
  type FhEntry,
} from '../../src/images/index.ts'
import { fown, ProcessSet } from '../fixtures/process-set.ts'

const IN_OPEN = 0x20
const IN_CREATE = 0x100
const IN_ALL_EVENTS = 0xfff
const O_NONBLOCK = 0o4000

const inodeOf = (path: string): bigint => lstatSync(path, { bigint: true }).ino

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'restore-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

interface Wd {
  wd: number
  mask: number
  path?: string
  handle?: Omit<FhEntry, '$typeName'>
  device?: number
  inode?: bigint
}

const inotify = (set: ProcessSet, wds: readonly Wd[]): number =>
  set.file(FdType.INOTIFY, (id) => ({
    ify: makeMessage(InotifyFileEntrySchema, {
      id,
      flags: O_NONBLOCK,
      fown: fown(),
      wd: wds.map(({ wd, mask, path, handle, device = 0, inode = 0n }) => ({
        id: 0,
        iIno: inode,
        mask,
        ignoredMask: 0,
        sDev: device,
        wd,
        fHandle: handle ?? { bytes: 8, type: 1, handle: [0n], ...(path === undefined ? {} : { path }) },
      })),
    }),
  }))

/** What inotify(7) tells, up to now. */
const eventsOf = (fd: number): { wd: number; mask: number; name: string }[] => {
  const bytes = Buffer.alloc(64 * 1024)
  let size = 0
  try {
    size = readSync(fd, bytes)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
  }
  const events = []
  for (let at = 0; at < size;) {
    const length = bytes.readUInt32LE(at + 12)
    const name = bytes.toString('utf8', at + 16, at + 16 + length).replace(/\0.*$/s, '')
    events.push({ wd: bytes.readInt32LE(at), mask: bytes.readUInt32LE(at + 4), name })
    at += 16 + length
  }
  return events
}

describe('inotify', () => {
  test('watches have their numbers, and see nothing of what the restore opens and closes', async () => {
    for (const name of ['one', 'two']) mkdirSync(join(folder, name))
    const file = join(folder, 'two', 'file')
    writeFileSync(file, 'content')
    const set = new ProcessSet().process(100).process(101, { ppid: 100 }).process(102, { ppid: 101 })
    const id = inotify(set, [
      { wd: 70_000, mask: IN_ALL_EVENTS, path: file },
      { wd: 2, mask: IN_CREATE, path: join(folder, 'one') },
      { wd: 9, mask: IN_ALL_EVENTS, path: join(folder, 'two') },
    ])
    set.hold(100, 5, id).hold(101, 5, id)
    for (const pid of [100, 101, 102])
      set.hold(pid, 8, set.named(file)).hold(pid, 9, set.named(join(folder, 'two'), { flags: 0 }))
    const restored = await set.restore()
    const listed = [...restored.fdinfo(101, 5).matchAll(/^inotify wd:(\w+) .* mask:(\w+)/gm)]
    expect(listed.map(([, wd, mask]) => [wd, mask])).toEqual([
      [(70_000).toString(16), 'fff'],
      ['9', 'fff'],
      ['2', '100'],
    ])
    const { fd } = restored.take(100, 5)
    expect(eventsOf(fd)).toEqual([])
    writeFileSync(join(folder, 'one', 'new'), '')
    expect(eventsOf(fd)).toEqual([{ wd: 2, mask: IN_CREATE, name: 'new' }])
    readFileSync(file)
    expect(eventsOf(fd)).toContainEqual({ wd: 70_000, mask: IN_OPEN, name: '' })
  })

  test('a watch of which no path is known is found by its handle', async () => {
    const watched = join(folder, 'watched')
    mkdirSync(watched)
    const watcher = watch(watched)
    onTestFinished(() => {
      watcher.close()
    })
    const own = readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:inotify'
      } catch {
        return false
      }
    })
    const [line] = own.flatMap(
      (fd) => readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').match(/^inotify .*$/gm) ?? [],
    )
    const field = (name: string): string => new RegExp(`${name}:(\\w+)`).exec(line ?? '')?.[1] ?? ''
    const bytes = Buffer.alloc(128)
    bytes.write(field('f_handle'), 'hex')
    const handle = {
      bytes: parseInt(field('fhandle-bytes'), 16),
      type: parseInt(field('fhandle-type'), 16),
      handle: Array.from({ length: 16 }, (_, word) => bytes.readBigUInt64LE(word * 8)),
    } as Omit<FhEntry, '$typeName'>
    const set = new ProcessSet().process(100)
    set.hold(100, 3, inotify(set, [{ wd: 3, mask: IN_CREATE, handle, device: parseInt(field('sdev'), 16) }]))
    const restored = await set.restore()
    const { fd } = restored.take(100, 3)
    writeFileSync(join(watched, 'new'), '')
    expect(eventsOf(fd)).toEqual([{ wd: 3, mask: IN_CREATE, name: 'new' }])
  })

  test('a symbolic link that was watched itself is watched itself', async () => {
    const link = join(folder, 'link')
    symlinkSync('nowhere', link)
    const set = new ProcessSet().process(100)
    set.hold(100, 4, inotify(set, [{ wd: 1, mask: 0x200, path: link, inode: inodeOf(link) }]))
    const restored = await set.restore()
    expect(restored.fdinfo(100, 4)).toContain(`ino:${inodeOf(link).toString(16)} `)
  })

  test('watches that cannot be are refused, each by its number', () => {
    const set = new ProcessSet().process(100)
    const wds = [0, 4, 4].map((wd) => ({ wd, mask: IN_CREATE, path: folder }))
    set.hold(
      100,
      3,
      inotify(set, [
        ...wds,
        { wd: 5, mask: 1, path: join(folder, 'gone') },
        { wd: 6, mask: 1, device: 0xfff00000 },
      ]),
    )
    const problems = set.problems()
    expect(problems.map(({ reason, pid, fd }) => [reason, pid, fd])).toEqual([
      ['bad-watch', 100, 3],
      ['bad-watch', 100, 3],
      ['file-missing', 100, 3],
      ['file-missing', 100, 3],
    ])
    expect(problems[2]?.message).toContain('watch 5 of inotify 1')
  })
})

describe('fanotify', () => {
  test('marks on inodes and mounts, what they ignore, and nobody who opens waits for a permission', async () => {
    const file = join(folder, 'file')
    writeFileSync(file, 'content')
    const set = new ProcessSet().process(100).process(101, { ppid: 100 })
    const FAN_OPEN_PERM = 0x10000
    const FAN_CLASS_CONTENT = 4
    const FAN_CLOEXEC = 1
    const common = { id: 0, mflags: 0, ignoredMask: 0, sDev: 0 }
    const id = set.file(FdType.FANOTIFY, (own) => ({
      ffy: makeMessage(FanotifyFileEntrySchema, {
        id: own,
        flags: 2 | O_NONBLOCK,
        fown: fown(),
        faflags: FAN_CLASS_CONTENT | FAN_CLOEXEC,
        evflags: 0x8000,
        mark: [
          { ...common, type: 2, mask: 0x2, me: { mntId: 1, path: '/dev/pts' } },
          {
            ...common,
            type: 1,
            mask: FAN_OPEN_PERM,
            mflags: 0x40,
            ignoredMask: 0x20,
            ie: { iIno: 0n, fHandle: { bytes: 0, type: 1, handle: [], path: file } },
          },
        ],
      }),
    }))
    set.hold(100, 4, id)
    for (const pid of [100, 101]) set.hold(pid, 5, set.named(file))
    const restored = await set.restore()
    const info = restored.fdinfo(100, 4)
    expect(info).toMatch(/^flags:\s*04002$/m)
    expect(info).toMatch(/^fanotify flags:5 event-flags:8000$/m)
    expect(info.match(/^fanotify (mnt_id|ino).*$/gm)).toEqual([
      expect.stringMatching(/^fanotify mnt_id:\w+ mflags:0 mask:2 ignored_mask:0$/),
      expect.stringMatching(/^fanotify ino:\w+ .*mflags:40 mask:10000 ignored_mask:20 /),
    ])
  })
})
