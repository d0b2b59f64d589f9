import { spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  ExtFileEntrySchema,
  FdType,
  makeMessage,
  NsFileEntrySchema,
  PidfdEntrySchema,
} from '../../src/images/index.ts'
import { fown, ProcessSet, type RestoredSet } from '../fixtures/process-set.ts'

const O_EXCL = 0o200
const O_NONBLOCK = 0o4000

const pidfd = (set: ProcessSet, nspid: number, { flags = 2, ino = 1n } = {}): number =>
  set.file(FdType.PIDFD, (id) => ({
    pidfd: makeMessage(PidfdEntrySchema, { id, ino, flags, nspid, fown: fown() }),
  }))

describe('pidfds', () => {
  test('are of the processes of the images, whatever ids these have now', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100 }).process(102, { ppid: 101 })
    set.hold(100, 3, pidfd(set, 102, { flags: 2 | O_NONBLOCK }))
    set.hold(101, 4, pidfd(set, 101, { flags: 2 | O_EXCL }), { cloexec: true }).hold(102, 5, 2)
    const restored = await set.restore()
    expect(restored.fdinfo(100, 3)).toMatch(
      new RegExp(`^flags:\\s*04002$[^]*^Pid:\\s*${restored.pid(102)}$`, 'm'),
    )
    expect(restored.fdinfo(101, 4)).toMatch(
      new RegExp(`^flags:\\s*02000202$[^]*^Pid:\\s*${restored.pid(101)}$`, 'm'),
    )
    expect(restored.fdinfo(102, 5)).toMatch(/^flags:\s*0202$/m)
  })

  test('of ended processes are of as many processes as before', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100 })
    set
      .hold(100, 3, pidfd(set, -1, { ino: 9n }))
      .hold(101, 3, pidfd(set, -1, { ino: 9n, flags: 2 | O_NONBLOCK }))
    set.hold(101, 4, pidfd(set, -1, { ino: 10n }))
    const restored = await set.restore()
    for (const [pid, fd] of [
      [100, 3],
      [101, 3],
      [101, 4],
    ] as const)
      expect(restored.fdinfo(pid, fd)).toMatch(/^Pid:\s*-1$/m)
    expect(restored.fdinfo(101, 3)).toMatch(/^flags:\s*04002$/m)
    expect(restored.inode(100, 3)).toBe(restored.inode(101, 3))
    expect(restored.inode(101, 4)).not.toBe(restored.inode(101, 3))
  })

  test('of threads, and of processes that are not in the images, are refused', () => {
    const set = new ProcessSet().process(100, { threads: [100, 105] })
    set.hold(100, 3, pidfd(set, 105)).hold(100, 4, pidfd(set, 7))
    expect(set.problems()).toMatchObject([
      { reason: 'unsupported', pid: 100, fd: 3 },
      { reason: 'process-outside', pid: 100, fd: 4 },
    ])
  })
})

test('files of namespaces are of those that all processes are in', async () => {
  const set = new ProcessSet().process(100).process(101, { ppid: 100 })
  const namespace = (nsId: number, nsCflag: number): number =>
    set.file(FdType.NS, (id) => ({
      nsf: makeMessage(NsFileEntrySchema, { id, nsId, nsCflag, flags: 0o100000 }),
    }))
  const net = namespace(7, 0x40000000)
  set.hold(100, 3, net).hold(101, 3, net).hold(101, 4, namespace(8, 0x20000000))
  const restored = await set.restore()
  const link = (pid: number, fd: number): string => readlinkSync(`/proc/${restored.pid(pid)}/fd/${fd}`)
  expect([link(100, 3), link(101, 3), link(101, 4)]).toEqual(
    ['net', 'net', 'pid'].map((name) => readlinkSync(`/proc/self/ns/${name}`)),
  )
  set.hold(100, 5, namespace(70, 0x40000000)).hold(100, 6, namespace(7, 1))
  expect(set.problems().map(({ reason, fd }) => [reason, fd])).toEqual([
    ['namespace-outside', 5],
    ['unknown-kind', 6],
  ])
})

test('a tunnel that has no device is open again', async () => {
  const set = new ProcessSet().process(100)
  set.hold(100, 3, set.tun(undefined, 2 | O_NONBLOCK))
  const restored = await set.restore()
  expect(readlinkSync(`/proc/${restored.pid(100)}/fd/3`)).toBe('/dev/net/tun')
  expect(restored.fdinfo(100, 3)).toMatch(/^flags:\s*0?104002$/m)
})

test('what cannot be restored is refused with the reason', () => {
  const set = new ProcessSet().process(100)
  set.hold(
    100,
    3,
    set.file(FdType.EXT, (id) => ({ ext: makeMessage(ExtFileEntrySchema, { id, fown: fown() }) })),
  )
  set.hold(100, 4, set.tun('tun7'))
  const problems = set.problems()
  expect(problems.map(({ reason, fd }) => [reason, fd])).toEqual([
    ['unsupported', 3],
    ['unsupported', 4],
  ])
  expect(problems[1]?.message).toContain('tun7')
})

/** Type and id of the owner, and the signal (fcntl(2), F_GETOWN_EX and F_GETSIG). */
const ownerOf = (restored: RestoredSet, pid: number, fd: number): number[] => {
  const program = `
import fcntl, struct, sys
print(*struct.unpack('ii', fcntl.fcntl(3, 16, bytes(8))), fcntl.fcntl(3, 11))`
  const taken = restored.take(pid, fd)
  const { stdout } = spawnSync('python3', ['-c', program], {
    stdio: ['ignore', 'pipe', 'inherit', taken.fd],
    encoding: 'utf8',
  })
  return stdout.trim().split(' ').map(Number)
}

test('owners are the processes and groups that they were, with their signals', async () => {
  const SIGUSR1 = 10
  const O_ASYNC = 0o20000
  const set = new ProcessSet().process(100).process(101, { ppid: 100, pgid: 101 }).process(102, { ppid: 101 })
  set.hold(100, 3, set.named('/dev/null', { owner: fown({ pid: 102, pidType: 1 }) }))
  const group = set.named('/dev/null', {
    owner: fown({ pid: 101, pidType: 2, signum: SIGUSR1, uid: 65534, euid: 65534 }),
  })
  set.hold(101, 4, group).hold(102, 6, group)
  set.hold(
    102,
    5,
    set.named('/dev/null', { flags: 2 | O_ASYNC, owner: fown({ pid: 102, pidType: 0, signum: SIGUSR1 }) }),
  )
  set.hold(102, 7, set.named('/dev/null', { owner: fown({ pid: 7, pidType: 1, signum: SIGUSR1 }) }))
  const restored = await set.restore()
  expect(ownerOf(restored, 100, 3)).toEqual([1, restored.pid(102), 0])
  expect(ownerOf(restored, 101, 4)).toEqual([2, restored.pid(101), SIGUSR1])
  expect(ownerOf(restored, 102, 5)).toEqual([0, restored.pid(102), SIGUSR1])
  expect(ownerOf(restored, 102, 7)).toEqual([0, 0, SIGUSR1])
  expect(restored.fdinfo(102, 5)).toMatch(/^flags:\s*0?120002$/m)
  expect(restored.warnings).toMatchObject([{ reason: 'owner-outside', pid: 102, fd: 7 }])
})
