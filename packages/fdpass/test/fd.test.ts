import { closeSync, fstatSync, readFileSync, readSync, writeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Fd, memfd } from '../src/index.ts'
import { isOpen, openCount, openFd, uncountable } from './fixtures/descriptors.ts'
import { node } from './fixtures/node.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const O_CLOEXEC = 0o2000000
const O_NONBLOCK = 0o4000

const flagsOf = (number: number): number =>
  parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))![1]!, 8)

test('from makes an owner of a number, which becomes close-on-exec', async () => {
  const source = `const fd = Fd.from(3)
    print({ fd: fd.fd, kind: fd.kind, flags: /flags:\\s*(\\d+)/.exec(fs.readFileSync('/proc/self/fdinfo/3', 'utf8'))[1] })`
  const file = own(memfd('x'))
  const { fd, kind, flags } = (await node(source, { inherited: [file.fd] })) as {
    fd: number
    kind: string
    flags: string
  }
  expect([fd, kind]).toEqual([3, 'memfd'])
  expect(parseInt(flags, 8) & O_CLOEXEC).not.toBe(0)
})

test('a descriptor has one owner: a second is refused, EBUSY', () => {
  const fd = openFd('/dev/null', 'r')
  const error = failure(() => Fd.from(fd.fd))
  expect(error).toMatchObject({ code: 'EBUSY', errno: -16, syscall: 'adopt' })
  const other = own(memfd('x'))
  expect(codeOf(() => Fd.from(other.fd))).toBe('EBUSY')
  const number = fd.take()
  expect(own(Fd.from(number)).fd).toBe(number)
})

test('adopter makes numbers this thread’s, and owned the Fd of each', () => {
  const numbers = Int32Array.of(7, memfd('one', '1').take(), memfd('two', '2').take())
  expect(Fd.adopter(numbers, 1, 2)).toBe(2)
  expect(codeOf(() => Fd.from(numbers[1]!))).toBe('EBUSY')
  const fds = [...numbers.subarray(1)].map((number) => own(Fd.owned(number)))
  expect(fds.map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['1', '2'])
  for (const fd of fds) fd.close()
  expect([...numbers.subarray(1)].some(isOpen)).toBe(false)
})

test.each([
  [Int32Array.of(1), 0, 2],
  [Int32Array.of(1), -1, 1],
  [[1], 0, 1],
])('adopter of what is none is -EINVAL', (numbers, first, count) => {
  expect(Fd.adopter(numbers as Int32Array, first, count)).toBe(-22)
})

test.each([-1, 1.5, NaN, 2 ** 31, 9999, '0' as unknown as number])('from of %s: EBADF', (number) => {
  expect(codeOf(() => Fd.from(number))).toBe('EBADF')
})

test('take gives the number away, open', () => {
  const fd = memfd('x', 'text')
  const number = fd.fd
  expect(fd.take()).toBe(number)
  expect(fd.fd).toBe(-1)
  fd.close()
  expect(readFileSync(number, 'utf8')).toBe('text')
  Fd.from(number).close()
})

test('close closes, once; what comes after is another’s', () => {
  const fd = memfd('x')
  const number = fd.fd
  fd.close()
  expect(fd.fd).toBe(-1)
  expect(isOpen(number)).toBe(false)
  const next = own(memfd('y'))
  fd.close()
  fd[Symbol.dispose]()
  expect(isOpen(next.fd)).toBe(true)
})

test.skipIf(uncountable !== '')(`one that was closed behind its back: EBADF${uncountable}`, () => {
  const fd = memfd('x')
  closeSync(fd.fd)
  expect(codeOf(() => fd.kind)).toBe('EBADF')
  expect(
    codeOf(() => {
      fd.close()
    }),
  ).toBe('EBADF')
  fd.close()
})

test('disposal closes', () => {
  const fd = memfd('x')
  const number = fd.fd
  fd[Symbol.dispose]()
  expect(isOpen(number)).toBe(false)
})

test('a closed one has nothing: EBADF', () => {
  const fd = memfd('x')
  fd.close()
  const calls: (() => unknown)[] = [
    () => fd.kind,
    () => fd.stat(),
    () => fd.blocking,
    () => {
      fd.setBlocking(true)
    },
    () => fd.dup(),
    () => fd.reopen(0),
    () => fd.take(),
    () => fd.seals,
  ]
  for (const call of calls) expect(codeOf(call)).toBe('EBADF')
})

test('dup is another owner of the same description', () => {
  const fd = own(memfd('x', 'text'))
  const other = own(fd.dup())
  expect(other.fd).not.toBe(fd.fd)
  expect(flagsOf(other.fd) & O_CLOEXEC).not.toBe(0)
  const bytes = Buffer.alloc(2)
  readSync(fd.fd, bytes, 0, 2, null)
  readSync(other.fd, bytes, 0, 2, null)
  expect(bytes.toString()).toBe('xt')
  fd.close()
  expect(fstatSync(other.fd).size).toBe(4)
})

test('reopen is a description of its own, with the rights that were asked for', () => {
  const fd = own(memfd('x', 'text'))
  const reader = own(fd.reopen(0))
  const bytes = Buffer.alloc(2)
  readSync(fd.fd, bytes, 0, 2, null)
  readSync(reader.fd, bytes, 0, 2, null)
  expect(bytes.toString()).toBe('te')
  expect(() => writeSync(reader.fd, 'x')).toThrow('EBADF')
  expect(flagsOf(reader.fd) & O_CLOEXEC).not.toBe(0)
  expect(codeOf(() => fd.reopen(1.5))).toBe('EINVAL')
})

test('reopen goes from a path to its file', () => {
  const path = openFd('/etc/passwd', 0o10000000)
  expect(path.kind).toBe('path')
  const file = own(path.reopen(0))
  expect(file.kind).toBe('file')
  expect(file.stat().ino).toBe(path.stat().ino)
})

test('a socket cannot be reopened: ENXIO', async () => {
  const fd = await newPython().fd('s = socket.socket(); fds = [s.fileno()]')
  expect(codeOf(() => fd.reopen(2))).toBe('ENXIO')
})

test('B1 11: blocking is told, and set, of the description that all share', async () => {
  const python = newPython()
  const fd = await python.fd('r, w = os.pipe(); fds = [r]')
  expect(fd.blocking).toBe(true)
  fd.setBlocking(false)
  expect(fd.blocking).toBe(false)
  expect(flagsOf(fd.fd) & O_NONBLOCK).not.toBe(0)
  expect(await python.ask('nonblocking(r)')).toBe(true)
  await python.run('os.set_blocking(r, True)')
  expect(fd.blocking).toBe(true)
  expect(
    codeOf(() => {
      fd.setBlocking('no' as unknown as boolean)
    }),
  ).toBe('EINVAL')
})

test.skipIf(uncountable !== '')(`nothing of these leaves a descriptor${uncountable}`, () => {
  const before = openCount()
  for (let round = 0; round < 200; round++) {
    const fd = memfd('x')
    fd.dup().close()
    fd.reopen(0).close()
    Fd.from(fd.take()).close()
  }
  expect(openCount()).toBe(before)
})

test('one that is forgotten is closed by the garbage collector, and told of', async () => {
  const source = `import { subscribe } from 'node:diagnostics_channel'
    import { setImmediate } from 'node:timers/promises'
    const told = []
    subscribe('x.fdpass.discarded', (event) => told.push(event))
    const before = openCount()
    const kept = memfd('kept')
    ;(() => { for (let i = 0; i < 200; i++) memfd('forgotten') })()
    for (let i = 0; i < 20; i++) { gc(); await setImmediate() }
    print({ few: openCount() - before < 80, kept: kept.kind, reasons: [...new Set(told.map(({ reason }) => reason))] })`
  expect(await node(source, { flags: ['--expose-gc'] })).toEqual({
    few: true,
    kept: 'memfd',
    reasons: ['unclosed'],
  })
})

test('claimed ones outlive their messages, however many there are', async () => {
  const source = `import { setImmediate } from 'node:timers/promises'
    const [a, b] = FdSocket.pair()
    const fds = []
    for (let i = 0; i < 300; i++) {
      a.sendSync('x', [0])
      fds.push(...b.recvSync().claim())
      if (i % 3 === 0) fds.push(memfd('x'))
    }
    for (let i = 0; i < 20; i++) { gc(); await setImmediate() }
    const closed = []
    for (const fd of fds) try { fd.close() } catch ({ code }) { closed.push(code) }
    print(closed)`
  expect(await node(source, { flags: ['--expose-gc'] })).toEqual([])
})
