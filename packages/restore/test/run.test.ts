import {
  constants,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
  openSync,
  closeSync,
} from 'node:fs'
import { pidfdGetfd, pidfdOpen } from '@x/fdpass'
import { expect, onTestFinished, test } from 'vitest'
import { CODE, FLAG, FORK } from '../src/program/op.ts'
import { run } from '../src/run/run.ts'
import { blob, Builder, pidOf, scratch, slot } from './fixtures/builder.ts'
import { folder } from './fixtures/folder.ts'
import {
  cwdOf,
  infoOf,
  isCloexec,
  numbersOf,
  parentOf,
  restore,
  start,
  statusOf,
  tableOf,
} from './fixtures/tasks.ts'

/** What can be read from a descriptor of another process now. */
const readFrom = (pid: number, number: number): string => {
  using process = pidfdOpen(pid)
  using fd = pidfdGetfd(process, number)
  const bytes = Buffer.alloc(4096)
  return bytes.subarray(0, readSync(fd.fd, bytes)).toString()
}

test('a task has exactly the descriptors that the program names', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: 7, cloexec: false })
  builder.pair(task, 'pipe2', { number: 4 }, { number: 3, cloexec: false })
  const zero = builder.open(task, '/dev/zero')
  builder.move(task, zero, 0)
  builder.copy(task, zero, 15_000, false)
  builder.sweep(task)

  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([0, 3, 4, 7, 15_000])
  const table = tableOf(pid)
  expect(table[0]).toBe('/dev/zero')
  expect(table[15_000]).toBe('/dev/zero')
  expect(table[7]).toBe('/dev/null')
  expect(table[3]).toMatch(/^pipe:/)
  expect(table[4]).toBe(table[3])
  expect([0, 3, 4, 7, 15_000].map((number) => isCloexec(pid, number))).toEqual([
    true,
    false,
    true,
    false,
    false,
  ])
  expect(infoOf(pid, 4)).toMatch(/^flags:\s*02000000$/m)
  expect(infoOf(pid, 3)).toMatch(/^flags:\s*01$/m)
})

test('a held task waits with default signals, and init, or a subreaper, is its parent', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([])
  for (const set of ['SigIgn', 'SigBlk', 'SigCgt']) expect(statusOf(pid, set)).toBe('0'.repeat(16))
  expect(statusOf(pid, 'State')).toMatch(/^S/)
  expect(parentOf(pid)).not.toBe(process.pid)
})

test('temporary descriptors are never in the way of final ones, up to the limit', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const numbers = [...Array(60).keys(), ...Array.from({ length: 20 }, (_, index) => hardLimit - 1 - index)]
  // All are open at once, the last opened is placed first, and the kernel would have given most of their numbers.
  const slots = numbers.map(() => builder.open(task, '/dev/null'))
  for (const [index, number] of numbers.entries())
    builder.move(task, slots[numbers.length - 1 - index] ?? 0, number)
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual(numbers.toSorted((a, b) => a - b))
})

const hardLimit = Number(
  /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1],
)

test('the ends of a pipe can have each other’s numbers, and data is in it', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const [, end] = builder.pair(task, 'pipe2', { number: 1 }, { number: 0 })
  builder.write(task, end, 'left in the pipe')
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(readFrom(pid, 1)).toBe('left in the pipe')
  expect(infoOf(pid, 0)).toMatch(/^flags:\s*02000001$/m)
})

test('a number that is in use is refused by its name', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: 9 })
  builder.open(task, '/dev/zero', { number: 9 })
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EBUSY', syscall: 'fcntl' })
  expect(String(error)).toMatch('unit 2: fcntl: EBUSY, the descriptor number 9 is in use')
})

test('a number above the limit is refused by its name', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: hardLimit })
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EMFILE', syscall: 'fcntl', problems: [{ pid: 1001 }] })
  expect(String(error)).toMatch(`number ${hardLimit} is not below the hard limit`)
})

test('two tasks wait for each other’s operations in turn', async () => {
  const path = folder()
  const builder = new Builder()
  const tasks = [builder.fork(0), builder.fork(0)]
  let before: number | undefined
  for (let turn = 0; turn < 200; turn++) {
    const task = tasks[turn % 2] ?? 0
    if (before !== undefined) builder.wait(task, before)
    // Each makes a name that the next one takes away: out of turn it would fail.
    before =
      turn % 2 === 0
        ? builder.mknod(task, `${path}/${turn >> 1}`)
        : builder.unlink(task, `${path}/${turn >> 1}`)
  }
  await restore(builder.program)
})

test('a tree of processes has the wanted ids, parents, and no shared tables', async () => {
  const builder = new Builder()
  const wanted = [20_101, 20_102, 20_103, 20_104]
  const root = builder.fork(0, { pid: wanted[0] })
  const child = builder.fork(root, { pid: wanted[1] })
  const grandchild = builder.fork(child, { pid: wanted[2] })
  const sibling = builder.fork(grandchild, { pid: wanted[3], flags: FORK.sibling })
  const tasks = [root, child, grandchild, sibling]
  for (const task of tasks) builder.open(task, '/dev/null', { number: task })
  for (const task of tasks) builder.sweep(task)
  const [, ...pids] = await restore(builder.program)
  expect(pids).toEqual(wanted)
  expect(pids.slice(1).map(parentOf)).toEqual([pids[0], pids[1], pids[1]])
  expect(pids.map(numbersOf)).toEqual(tasks.map((task) => [task]))
})

test('a process id that is taken is refused with its number', async () => {
  const builder = new Builder()
  builder.fork(0, { pid: process.pid })
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EEXIST', syscall: 'clone3' })
  expect(String(error)).toMatch(`the process id ${process.pid} is taken`)
})

test('tasks share a table of descriptors, and a working directory', async () => {
  const path = folder()
  const builder = new Builder()
  const first = builder.fork(0)
  const second = builder.fork(first, { flags: FORK.files | FORK.fs })
  const opened = builder.open(second, '/dev/zero')
  builder.move(second, opened, 5)
  const changed = builder.call(second, 'chdir', [blob(builder.text(path))])
  builder.wait(first, changed)
  builder.fetch(first, second, opened, { number: 6 })
  builder.op(0, CODE.barrier, [])
  builder.sweep(first)
  const [, one = 0, two = 0] = await restore(builder.program)
  expect(tableOf(one)).toEqual({ 5: '/dev/zero', 6: '/dev/zero' })
  expect(tableOf(two)).toEqual(tableOf(one))
  expect([one, two].map(cwdOf)).toEqual([path, path])
})

test('a task adopts what it inherits, with the numbers of the time when it was made, and closes the rest', async () => {
  const builder = new Builder()
  const zero = builder.open(0, '/dev/zero', { number: 3 })
  const full = builder.open(0, '/dev/full')
  const other = builder.open(0, '/dev/null', { number: 4 })
  const parent = builder.fork(0)
  const child = builder.fork(parent)
  for (const slots of [zero, full, other]) builder.op(0, CODE.drop, [slot(slots)])
  const [own = 0] = builder.adopt(parent, 0, [zero])
  // Its number is free.
  builder.open(parent, '/dev/random', { number: 4 })
  builder.copy(parent, own, 5)
  const [one = 0, two = 0] = builder.adopt(child, 0, [other, full])
  builder.copy(child, one, 8, false)
  builder.copy(child, two, 9)
  for (const task of [parent, child]) builder.sweep(task)
  const [, first = 0, second = 0] = await restore(builder.program)
  expect(tableOf(first)).toEqual({ 4: '/dev/random', 5: '/dev/zero' })
  expect(tableOf(second)).toEqual({ 8: '/dev/null', 9: '/dev/full' })
})

test('a descriptor is fetched from another task, as often as is wanted', async () => {
  const builder = new Builder()
  const owner = builder.fork(0)
  const other = builder.fork(0)
  const [end, write] = builder.pair(owner, 'pipe2', { number: 3 }, { number: 4 })
  builder.write(owner, write, 'in it')
  for (const number of [10, 11, 12]) builder.fetch(other, owner, end, { number })
  for (const task of [owner, other]) builder.sweep(task)
  const [, one = 0, two = 0] = await restore(builder.program)
  expect(tableOf(two)).toEqual({ 10: tableOf(one)[3], 11: tableOf(one)[3], 12: tableOf(one)[3] })
  expect(readFrom(two, 11)).toBe('in it')
})

test('what nobody has waited for is not fetched', async () => {
  const builder = new Builder()
  const owner = builder.fork(0)
  const other = builder.fork(0)
  builder.call(owner, 'poll', [0, 0, -1])
  const opened = builder.open(owner, '/dev/null')
  builder.op(other, CODE.fetch, [owner, opened], { flags: FLAG.out, out: builder.slot() })
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EPROTO', syscall: 'pidfd_getfd' })
})

test('as many rights as a message can have are in flight in a socket', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const SOCK_SEQPACKET = 5
  const [near] = builder.pair(task, 'socketpair', { number: 3 }, { number: 4 }, SOCK_SEQPACKET)
  const opened = Array.from({ length: 253 }, () => builder.open(task, '/dev/null'))
  const list = new Uint8Array(Uint32Array.from(opened).buffer)
  const rights = (BigInt(opened.length) << 32n) | BigInt(builder.bytes(list))
  builder.op(task, CODE.send, [slot(near), blob(builder.text('with rights')), 11, rights, 0, 0])
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([3, 4])
  expect(infoOf(pid, 4)).toMatch(/^scm_fds:\s*253$/m)
})

test('a datagram goes to an address', async () => {
  const path = folder()
  const builder = new Builder()
  const task = builder.fork(0)
  const SOCK_DGRAM = 2
  const [near, far] = builder.pair(task, 'socketpair', {}, {}, SOCK_DGRAM)
  const receiver = builder.slot()
  builder.call(task, 'socket', [1, SOCK_DGRAM, 0], { flags: FLAG.out, out: receiver, number: 5 })
  const name = `${path}/socket`
  const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${name}\0`)])
  const at = builder.bytes(address)
  builder.undone(task, 'bind', [slot(receiver), blob(at), address.length], name)
  for (const end of [near, far]) builder.op(task, CODE.drop, [slot(end)])
  const sender = builder.slot()
  builder.call(task, 'socket', [1, SOCK_DGRAM, 0], { flags: FLAG.out, out: sender })
  const to = (BigInt(address.length) << 32n) | BigInt(at)
  builder.op(task, CODE.send, [slot(sender), blob(builder.text('a letter')), 8, 0, to, 0])
  builder.unlink(task, name)
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([5])
  expect(readFrom(pid, 5)).toBe('a letter')
})

test('a file is copied with its holes, a part of it into a pipe', async () => {
  const path = folder()
  const source = `${path}/source`
  const MiB = 1024 * 1024
  writeFileSync(source, 'begin')
  truncateSync(source, 8 * MiB)
  const file = openSync(source, 'r+')
  writeSync(file, 'middle', 4 * MiB)
  closeSync(file)
  const builder = new Builder()
  const task = builder.fork(0)
  const copy = builder.open(task, `${path}/copy`, { number: 3 }, constants.O_RDWR | constants.O_CREAT)
  const [, end] = builder.pair(task, 'pipe2', { number: 4 }, { number: 5 })
  const name = blob(builder.text(source))
  builder.op(task, CODE.copyFile, [slot(copy), name, 0, -1, 0])
  builder.op(task, CODE.copyFile, [slot(end), name, 4 * MiB, 6, -1])
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(readFileSync(`${path}/copy`).equals(readFileSync(source))).toBe(true)
  expect(statSync(`${path}/copy`).blocks).toBeLessThanOrEqual(statSync(source).blocks)
  expect(readFrom(pid, 4)).toBe('middle')
})

test('a pipe that is full is an error, and no wait', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const O_NONBLOCK = 0o4000
  const [, end] = builder.pair(task, 'pipe2')
  builder.call(task, 'fcntl', [slot(end), 4, O_NONBLOCK])
  builder.write(task, end, 'x'.repeat(100_000))
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EAGAIN', syscall: 'write' })
})

test('a pseudoterminal gets the wanted index, and a pidfd is of a dead process', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const master = builder.slot()
  const index = freeTerminal()
  builder.op(
    task,
    CODE.openPtmx,
    [index, constants.O_RDWR | constants.O_NOCTTY, blob(builder.text('/dev/ptmx'))],
    {
      flags: FLAG.out,
      out: master,
      number: 3,
    },
  )
  const dead = builder.slot()
  builder.op(task, CODE.deadPidfds, [blob(builder.bytes([0, 0, 0, 0])), 1, dead])
  builder.move(task, dead, 4)
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([3, 4])
  expect(infoOf(pid, 3)).toMatch(new RegExp(`^tty-index:\\s*${index}$`, 'm'))
  expect(infoOf(pid, 4)).toMatch(/^Pid:\s*-1$/m)
})

/** An index of a pseudoterminal that nobody has, above some that may be free. */
const freeTerminal = (): number =>
  10 + Math.max(0, ...readdirSync('/dev/pts').map(Number).filter(Number.isInteger))

test('the process id of a task, and a descriptor, go into a structure', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  const other = builder.fork(0)
  const [end] = builder.pair(task, 'pipe2', { number: 3 }, { number: 4 })
  const F_SETOWN_EX = 15
  const F_OWNER_PID = 1
  builder.wait(task, 1)
  builder.op(task, CODE.store, [0, F_OWNER_PID, 4])
  builder.op(task, CODE.store, [4, pidOf(other), 4])
  builder.call(task, 'fcntl', [slot(end), F_SETOWN_EX, scratch(0)])
  const F_GETOWN = 9
  const owned = builder.slot()
  builder.call(task, 'pidfd_open', [pidOf(other), 0], {
    flags: FLAG.out | FLAG.cloexec,
    out: owned,
    number: 5,
  })
  builder.call(task, 'fcntl', [slot(end), F_GETOWN], { flags: FLAG.expect, expect: 0n, mask: 0n })
  builder.sweep(task)
  const [, pid = 0, second = 0] = await restore(builder.program)
  expect(infoOf(pid, 5)).toMatch(new RegExp(`^Pid:\\s*${second}$`, 'm'))
})

test('a result that is not the expected one is an error', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.call(task, 'umask', [0o22])
  builder.call(task, 'umask', [0], { flags: FLAG.expect, expect: 0o27n, mask: 0o777n })
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'EINVAL', syscall: 'umask' })
  expect(String(error)).toMatch('umask: gave 18, and not what was expected')
})

test('an error that is tolerated is none', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.change(builder.call(task, 'close', [-1]), { tolerate: 9 })
  await restore(builder.program)
})

test('a task executes a program, which has exactly its descriptors', async () => {
  const path = folder()
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: 0, cloexec: false })
  builder.open(task, `${path}/out`, { number: 1, cloexec: false }, constants.O_RDWR | constants.O_CREAT)
  builder.open(task, '/dev/zero', { number: 5, cloexec: false })
  builder.open(task, '/dev/zero', { number: 6 })
  builder.sweep(task)
  builder.barrier(0)
  builder.barrier(task)
  builder.exec(
    task,
    ['/bin/sh', '-c', 'echo "$GREETING" "$@"; exec sleep 1000', 'sh', 'an argument'],
    ['GREETING=hello'],
  )
  const [, pid = 0] = await restore(builder.program)
  await expect.poll(() => readFileSync(`/proc/${pid}/comm`, 'utf8')).toBe('sleep\n')
  expect(readFileSync(`${path}/out`, 'utf8')).toBe('hello an argument\n')
  expect(numbersOf(pid)).toEqual([0, 1, 5])
})

test('a program that cannot be executed is the end of all', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.fork(0)
  builder.barrier(0)
  builder.barrier(task)
  builder.exec(task, ['/nowhere'], [])
  const error: unknown = await start(builder.program)
    .commit()
    .catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'ENOENT', syscall: 'execve' })
})

test('a hundred tasks have a hundred descriptors each', async () => {
  const builder = new Builder()
  const tasks = Array.from({ length: 100 }, () => builder.fork(0))
  const numbers = Array.from({ length: 100 }, (_, index) => 3 + index * 7)
  for (const number of numbers) for (const task of tasks) builder.open(task, '/dev/null', { number })
  for (const task of tasks) builder.sweep(task)
  const [, ...pids] = await restore(builder.program)
  expect(pids).toHaveLength(100)
  for (const pid of pids) expect(numbersOf(pid)).toEqual(numbers)
})

test('progress counts the operations of each task, up to all of them', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  for (let number = 3; number < 50; number++) builder.open(task, '/dev/null', { number })
  const seen: number[] = []
  const { program } = builder
  const started = start(program, {
    onProgress: (progress) => {
      seen.push(progress[task]?.done ?? -1)
    },
  })
  const { pids } = await started.commit()
  onTestFinished(() => {
    process.kill(pids[task] ?? 0, 'SIGKILL')
  })
  const all = [2, 48]
  expect(started.progress.map(({ total }) => total)).toEqual(all)
  expect(started.progress.map(({ done }) => done)).toEqual(all)
  expect(seen.at(-1)).toBe(48)
  expect(seen.toSorted((a, b) => a - b)).toEqual(seen)
})

test('this process has the same descriptors afterwards', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: 3 })
  const { program } = builder
  await restore(program)
  const before = numbersOf(process.pid)
  for (let round = 0; round < 3; round++) {
    await restore(program)
    await start(program).rollback()
  }
  await expect.poll(() => numbersOf(process.pid)).toEqual(before)
})

test('unknown options are refused', () => {
  const { program } = new Builder()
  expect(() => run(program, { dead: 1 } as never)).toThrow('there is no option dead')
  expect(() => run(program, { deadline: -1 })).toThrow('deadline')
})
