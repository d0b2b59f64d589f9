import { readSync, readdirSync, readlinkSync, statSync, openSync, closeSync, writeSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { TtyType } from '../../src/images/index.ts'
import { fown, ProcessSet, type RestoredSet } from '../fixtures/process-set.ts'
import { isAlive } from '../fixtures/tasks.ts'

const O_NONBLOCK = 0o4000
const CTTY_ID = 2012
/** As a terminal is when it is made, but without echo. */
const cooked = {
  cIflag: 0x500,
  cOflag: 0x5,
  cCflag: 0xbf,
  cLflag: 0x8a33,
  cLine: 0,
  cIspeed: 0,
  cOspeed: 0,
  cCc: [],
}
const raw = { ...cooked, cIflag: 0, cOflag: 0, cLflag: 0 }
const controls = Uint8Array.from(Buffer.from('031c7f150400010011131a00120f1716'.padEnd(64, '0'), 'hex'))

/** One that nobody has, and that is not the next which somebody else will get. */
let index: number
beforeEach(() => {
  const taken = readdirSync('/dev/pts').map(Number).filter(Number.isInteger)
  index = Math.max(0, ...taken) + 40
})
const slaveName = (): string => `/dev/pts/${index}`

interface Pty {
  readonly sid?: number
  readonly pgrp?: number
  readonly termios?: typeof cooked
  readonly packetMode?: boolean
  readonly locked?: boolean
  readonly exclusive?: boolean
  readonly winsize?: { wsRow: number; wsCol: number; wsXpixel: number; wsYpixel: number }
}

/** What the images say of both sides. */
const describePty = (set: ProcessSet, { packetMode, locked, exclusive, ...both }: Pty): ProcessSet => {
  const common = { termios: cooked, ...both, pty: { index } }
  set.ttyInfo(
    { id: index * 2 + 1, ...common, packetMode: packetMode ?? false, locked: locked ?? false },
    controls,
  )
  return set.ttyInfo({ id: index * 2, ...common, exclusive: exclusive ?? false }, controls)
}

const master = (set: ProcessSet, flags = 2): number => set.tty(index * 2 + 1, '/dev/ptmx', flags)
const slave = (set: ProcessSet, flags = 2, owner = fown()): number =>
  set.tty(index * 2, slaveName(), flags, owner)

/** What a read gives, or its error. */
const read = (fd: number, length = 8192): string => {
  const bytes = Buffer.alloc(length)
  try {
    return bytes.toString('latin1', 0, readSync(fd, bytes))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? ''
  }
}

/** Results of ioctl(2) on descriptor 3: requests that give an int, and at last the settings. */
const ioctls = (fd: number): { packet: number; lock: number; exclusive: number; settings: string } => {
  const program = `
import array, fcntl, json, termios
def get(request):
    value = array.array('i', [0])
    try: fcntl.ioctl(3, request, value)
    except OSError as error: return -error.errno
    return value[0]
size = fcntl.ioctl(3, termios.TIOCGWINSZ, bytes(8))
flags = fcntl.ioctl(3, 0x5401, bytes(36))
print(json.dumps(dict(packet=get(0x80045438), lock=get(0x80045439), exclusive=get(0x80045440), settings=flags.hex() + ' ' + size.hex())))`
  const { stdout } = spawnSync('python3', ['-c', program], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
    encoding: 'utf8',
  })
  return JSON.parse(stdout) as ReturnType<typeof ioctls>
}

const linkOf = (restored: RestoredSet, pid: number, fd: number): string =>
  readlinkSync(`/proc/${restored.pid(pid)}/fd/${fd}`)

describe('pseudoterminals', () => {
  test('lines that waited are read one by one, and one that was not ended can be gone on with', async () => {
    const set = describePty(new ProcessSet().process(100).process(101, { ppid: 100 }), {})
    set.hold(100, 3, master(set)).hold(101, 4, slave(set, 2 | O_NONBLOCK))
    set.queued(index * 2, 'first\nsec\x03ond\npart').queued(index * 2 + 1, 'to the master')
    const restored = await set.restore()
    const side = restored.take(101, 4)
    const other = restored.take(100, 3)
    expect([read(side.fd), read(side.fd), read(side.fd)]).toEqual(['first\n', 'sec\x03ond\n', 'EAGAIN'])
    // ^H takes the last character of the part.
    writeSync(other.fd, '\x7fk\n')
    await expect.poll(() => read(side.fd)).toBe('park\n')
    expect(read(other.fd)).toBe('to the master')
  })

  test('more than a line discipline holds waits on both sides', async () => {
    const text = Buffer.alloc(9000, '0123456789').toString()
    const set = describePty(new ProcessSet().process(100), { termios: raw })
    set.hold(100, 3, master(set, 2 | O_NONBLOCK)).hold(100, 4, slave(set, 2 | O_NONBLOCK))
    set.queued(index * 2, text).queued(index * 2 + 1, text)
    const restored = await set.restore()
    for (const fd of [3, 4]) {
      const { fd: side } = restored.take(100, fd)
      let got = ''
      await expect
        .poll(() => {
          const part = read(side)
          if (part !== 'EAGAIN') got += part
          return got.length
        })
        .toBe(text.length)
      expect(got).toBe(text)
    }
  })

  test('settings, packet mode, exclusive use, the lock, and several opens of a slave in several processes', async () => {
    const winsize = { wsRow: 7, wsCol: 8, wsXpixel: 9, wsYpixel: 10 }
    const set = describePty(
      new ProcessSet().process(100).process(101, { ppid: 100 }).process(102, { ppid: 100 }),
      {
        winsize,
        packetMode: true,
        locked: true,
        exclusive: true,
      },
    )
    set.hold(100, 3, master(set, 2 | O_NONBLOCK)).hold(100, 30, 2)
    const shared = slave(set)
    set
      .hold(101, 0, shared)
      .hold(102, 1, shared)
      .hold(102, 5, slave(set, 1))
      .hold(101, 6, slave(set, O_NONBLOCK))
    const restored = await set.restore()
    const settings =
      '00050000050000' +
      '00bf000000338a0000' +
      '00' +
      '031c7f150400010011131a00120f1716000000' +
      ' 0700080009000a00'
    expect(ioctls(restored.take(100, 3).fd)).toEqual({ packet: 1, lock: 1, exclusive: 0, settings })
    expect(ioctls(restored.take(102, 5).fd)).toMatchObject({ exclusive: 1, settings })
    expect(restored.fdinfo(100, 3)).toMatch(/^tty-index:\s*\d+$/m)
    expect([linkOf(restored, 102, 5), linkOf(restored, 101, 6)]).toEqual([slaveName(), slaveName()])
    expect(restored.fdinfo(101, 6)).toMatch(/^flags:\s*0?4000$/m)
  })

  test('a slave without its master in the images is hung up', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100 })
    set.ttyInfo({ id: index * 2, pty: { index } })
    set.hold(100, 3, slave(set)).hold(101, 4, slave(set))
    const restored = await set.restore()
    for (const [pid, fd] of [
      [100, 3],
      [101, 4],
    ] as const) {
      expect(read(restored.take(pid, fd).fd)).toBe('')
      expect(linkOf(restored, pid, fd)).toBe(`${slaveName()} (deleted)`)
    }
    expect(restored.warnings).toEqual([])
  })

  test('an index that is taken is told before anything is made', () => {
    index = Number(readdirSync('/dev/pts').find((name) => /^\d+$/.test(name)) ?? openOne())
    const set = describePty(new ProcessSet().process(100), {})
    set.hold(100, 3, master(set)).hold(100, 4, slave(set)).hold(100, 5, master(set))
    expect(set.problems().map(({ reason, fd }) => [reason, fd])).toEqual([
      ['tty-index-taken', 3],
      ['duplicate-terminal', 5],
    ])
  })
})

/** A pseudoterminal that lives until the end of the test: its index. */
const openOne = (): number => {
  const fd = openSync('/dev/ptmx', 'r+')
  onTestFinished(() => {
    closeSync(fd)
  })
  return Number(readdirSync('/dev/pts').find((name) => /^\d+$/.test(name)))
}

test('who asked for it is signalled when something can be read', async () => {
  const O_ASYNC = 0o20000
  const set = describePty(new ProcessSet().process(100).process(101, { ppid: 100 }), { termios: raw })
  const owner = fown({ pid: 101, pidType: 1, signum: 10 })
  set
    .hold(100, 3, master(set))
    .hold(100, 4, slave(set, 2 | O_ASYNC, owner))
    .queued(index * 2, 'before')
  const restored = await set.restore()
  expect(isAlive(restored.pid(101))).toBe(true)
  writeSync(restored.take(100, 3).fd, 'after')
  await expect.poll(() => isAlive(restored.pid(101))).toBe(false)
})

describe('controlling terminals', () => {
  test('all of a session have it, the right group is in the foreground, and nobody is signalled', async () => {
    const set = new ProcessSet()
      .process(100)
      .process(101, { ppid: 100, sid: 101, pgid: 101 })
      .process(102, { ppid: 101, pgid: 102 })
      .process(103, { ppid: 101, pgid: 103 })
      .process(104, { ppid: 102, pgid: 102 })
    describePty(set, { sid: 101, pgrp: 102, termios: raw })
    set.ttyInfo({ id: CTTY_ID, type: TtyType.CTTY, sid: 101, pgrp: 102, rdev: 0x500 })
    // The master belongs to a session of its own, and the leader has no descriptor of the terminal.
    set.hold(100, 3, master(set))
    const tty = slave(set)
    set
      .hold(103, 0, tty)
      .hold(104, 0, tty)
      .hold(104, 7, set.tty(CTTY_ID, '/dev/tty'))
      .hold(101, 9, set.tty(CTTY_ID, '/dev/tty'))
    set.queued(index * 2, 'typed')
    const restored = await set.restore()
    const device = statSync(slaveName()).rdev
    const number = ((device >> 8) & 0xfff) * 256 + (device & 0xff)
    for (const pid of [101, 102, 103, 104])
      expect(restored.stat(pid)).toMatchObject({
        session: restored.pid(101),
        tty: number,
        foreground: restored.pid(102),
      })
    expect(restored.stat(100).tty).toBe(0)
    expect(linkOf(restored, 104, 7)).toBe('/dev/tty')
    writeSync(restored.take(104, 7).fd, 'from behind')
    expect(read(restored.take(100, 3).fd)).toBe('from behind')
    expect(read(restored.take(103, 0).fd)).toBe('typed')
  })

  test('a member of one session has the master of the terminal of another', async () => {
    const outer = index
    const set = new ProcessSet()
      .process(100)
      .process(101, { ppid: 100, sid: 101, pgid: 101 })
      .process(102, { ppid: 101 })
    describePty(set, { sid: 101, pgrp: 101, termios: raw })
    set.hold(100, 3, master(set)).hold(101, 0, slave(set)).hold(102, 0, 4)
    index++
    set.process(103, { ppid: 102, sid: 103, pgid: 103 }).process(104, { ppid: 103, pgid: 104 })
    describePty(set, { sid: 103, pgrp: 104, termios: raw })
    set.hold(102, 5, master(set)).hold(103, 0, slave(set)).hold(104, 0, 8)
    const restored = await set.restore()
    const number = (which: number): number => (136 + (which >> 8)) * 256 + (which & 0xff)
    expect([101, 102, 103, 104].map((pid) => restored.stat(pid).tty)).toEqual(
      [outer, outer, index, index].map(number),
    )
    expect(restored.stat(104).foreground).toBe(restored.pid(104))
    expect(restored.stat(102).foreground).toBe(restored.pid(101))
  })

  test('a master that only a member of the session has is a circle', () => {
    const set = new ProcessSet()
      .process(100)
      .process(101, { ppid: 100, sid: 101, pgid: 101 })
      .process(102, { ppid: 101 })
    describePty(set, { sid: 101, pgrp: 101 })
    set.hold(102, 3, master(set)).hold(101, 0, slave(set))
    const [problem] = set.problems()
    expect(problem?.reason).toBe('circle')
    expect(problem?.message).toContain('controlling terminal of session 101')
  })

  test('/dev/tty of who has no terminal is refused', () => {
    const set = new ProcessSet().process(100)
    set.ttyInfo({ id: CTTY_ID, type: TtyType.CTTY, sid: 100, rdev: 0x500 })
    set.hold(100, 3, set.tty(CTTY_ID, '/dev/tty'))
    expect(set.problems()).toMatchObject([
      { reason: 'no-terminal', pid: 100, fd: 3 },
      { reason: 'no-opener' },
    ])
  })

  test('a terminal that stays outside is lost, and its session lives', async () => {
    const set = new ProcessSet()
      .process(100)
      .process(101, { ppid: 100, sid: 101, pgid: 101 })
      .process(102, { ppid: 101 })
    set.ttyInfo({ id: index * 2, sid: 101, pgrp: 101, termios: cooked, pty: { index } }, controls)
    set.hold(101, 0, slave(set)).hold(102, 0, 2)
    const restored = await set.restore()
    expect(restored.stat(101)).toMatchObject({ tty: 0, session: restored.pid(101) })
    expect(restored.stat(102)).toMatchObject({ tty: 0, session: restored.pid(101) })
    expect(restored.warnings.map(({ reason }) => reason)).toEqual(['terminal-lost', 'terminal-lost'])
  })
})
