import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { fown, ProcessSet, type RestoredSet } from './fixtures/process-set.ts'

const POSIX = 1
const FLOCK = 2
const OFD = 4
const LEASE = 8
const READ = 0
const WRITE = 1
const UNLOCK = 2
const BREAKING = 4
const O_ASYNC = 0o20000

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'restore-'))
  file = join(folder, 'file')
  writeFileSync(file, 'content')
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Locks on the file, with who has them by their old ids, in the order of their text. */
const locksOf = (restored: RestoredSet, pids: readonly number[]): string[] => {
  const inode = `:${statSync(file).ino} `
  const old = new Map(pids.map((pid) => [String(restored.pid(pid)), pid]))
  return readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .filter((line) => line.includes(inode))
    .map((line) => line.trim().split(/\s+/))
    .map(([, kind, state, mode, pid, , start, end]) =>
      [kind, state, mode, old.get(pid ?? '') ?? '-', start, end].join(' '),
    )
    .sort()
}

test('locks of all kinds are taken when nobody closes anything any more', async () => {
  const set = new ProcessSet()
    .process(100)
    .process(101, { ppid: 100 })
    .process(102, { ppid: 101, table: 101 })
  const shared = set.named(file)
  const own = set.named(file)
  // Several descriptors of the same file in each, so that some are copied and some sent.
  for (const table of [100, 101]) set.hold(table, 3, shared).hold(table, 30, shared)
  set.hold(100, 4, own).hold(100, 5, set.named(file)).hold(101, 7, set.named(file))
  set.lock({ flag: POSIX, type: WRITE, pid: 100, fd: 3, start: 2n, len: 5n })
  set.lock({ flag: POSIX, type: READ, pid: 102, fd: 7, start: 100n })
  set.lock({ flag: OFD, type: READ, pid: 100, fd: 5, start: 10n, len: 1n })
  set.lock({ flag: FLOCK, type: WRITE, pid: 101, fd: 30 })
  const restored = await set.restore()
  expect(locksOf(restored, [100, 101, 102])).toEqual([
    'FLOCK ADVISORY WRITE 101 0 EOF',
    'OFDLCK ADVISORY READ - 10 10',
    'POSIX ADVISORY READ 102 100 EOF',
    'POSIX ADVISORY WRITE 100 2 6',
  ])
  expect(restored.fdinfo(100, 3)).toMatch(/^lock:.*FLOCK/m)
  expect(restored.fdinfo(100, 4)).not.toMatch(/FLOCK|OFDLCK/)
})

test('a lease is one again, and one that is being broken is so, without its owner being told again', async () => {
  const other = join(folder, 'other')
  const third = join(folder, 'third')
  writeFileSync(other, '')
  writeFileSync(third, '')
  const set = new ProcessSet().process(100).process(101, { ppid: 100 })
  const owner = fown({ pid: 101, pidType: 1, signum: 12 })
  set.hold(100, 3, set.named(file, { flags: O_ASYNC, owner }))
  set.hold(100, 4, set.named(other, { flags: 2 | O_ASYNC, owner }))
  set.hold(100, 5, set.named(third, { flags: O_ASYNC, owner }))
  set.lock({ flag: LEASE, type: READ, pid: 100, fd: 3 })
  set.lock({ flag: LEASE, type: UNLOCK | BREAKING, pid: 100, fd: 4 })
  set.lock({ flag: LEASE, type: READ | BREAKING, pid: 100, fd: 5 })
  const restored = await set.restore()
  expect(restored.fdinfo(100, 3)).toMatch(/LEASE\s+ACTIVE\s+READ/)
  expect(restored.fdinfo(100, 4)).toMatch(/LEASE\s+BREAKING\s+UNLCK/)
  expect(restored.fdinfo(100, 5)).toMatch(/LEASE\s+BREAKING\s+READ/)
  // SIGUSR2 would have ended it.
  expect(restored.stat(101).ppid).toBe(restored.pid(100))
})

test('a lock that a living process has is told with its process', async () => {
  const holder = spawn('flock', [file, 'sh', '-c', 'echo held; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  })
  onTestFinished(() => {
    process.kill(-(holder.pid ?? 0), 'SIGKILL')
  })
  await once(holder.stdout, 'data')
  const set = new ProcessSet().process(100)
  set.hold(100, 3, set.named(file))
  set.lock({ flag: FLOCK, type: READ, pid: 100, fd: 3 })
  set.lock({ flag: POSIX, type: WRITE, pid: 100, fd: 3 })
  const problems = set.problems()
  expect(problems).toMatchObject([{ reason: 'lock-taken', pid: 100, fd: 3 }])
  expect(problems[0]?.message).toContain(`process ${holder.pid}`)
})

test('locks that fit nothing are refused, all of them', () => {
  const set = new ProcessSet().process(100)
  set.hold(100, 3, set.named(file, { flags: 0 }))
  set.lock({ flag: POSIX, type: WRITE, pid: 100, fd: 3 })
  set.lock({ flag: FLOCK, type: UNLOCK, pid: 100, fd: 3 })
  set.lock({ flag: 3, type: READ, pid: 100, fd: 3 })
  set.lock({ flag: OFD, type: READ, pid: 100, fd: 9 })
  set.lock({ flag: LEASE, type: UNLOCK, pid: 100, fd: 3 })
  set.lock({ flag: LEASE, type: READ, pid: 7, fd: 3 })
  expect(set.problems().map(({ reason, pid, fd }) => [reason, pid, fd])).toEqual([
    ['bad-lock', 100, 3],
    ['bad-lock', 100, 3],
    ['bad-lock', 100, 3],
    ['bad-lock', 100, 9],
    ['bad-lock', 100, 3],
    ['bad-lock', 7, 3],
  ])
})
