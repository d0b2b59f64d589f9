import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { pidfdGetfd, pidfdOpen } from '../src/index.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure, newPair } from './fixtures/sockets.ts'
import { node } from './fixtures/node.ts'
import { newPython } from './fixtures/python.ts'

const isRoot = process.getuid?.() === 0
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

const info = (number: number, field: string): string | undefined =>
  new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1]

test('pidfdOpen makes a descriptor of a process', () => {
  const python = newPython()
  const pidfd = own(pidfdOpen(python.pid))
  expect(pidfd.kind).toBe('pidfd')
  expect(info(pidfd.fd, 'Pid')).toBe(String(python.pid))
})

test('pidfdOpen of a process that has ended: ESRCH', async () => {
  const child = spawn('true')
  await once(child, 'exit')
  const error = failure(() => pidfdOpen(child.pid!))
  expect(error).toMatchObject({ code: 'ESRCH', errno: -3, syscall: 'pidfd_open' })
  expect(error.message).toContain('there is no such process')
})

test('pidfdOpen of a thread that is not its process’s first is an error, and why', () => {
  const thread = readdirSync('/proc/self/task')
    .map(Number)
    .find((id) => id !== process.pid)
  const error = failure(() => pidfdOpen(thread!))
  expect(['EINVAL', 'ENOENT']).toContain(error.code)
  expect(error.message).toContain('it is the number of a thread')
})

test.each([0, -1, 1.5, NaN, 2 ** 31, '1' as unknown as number])('pidfdOpen of %s: EINVAL', (pid) => {
  expect(codeOf(() => pidfdOpen(pid))).toBe('EINVAL')
})

test('B1 18: pidfdGetfd takes a duplicate of another process’s descriptor, close-on-exec', async () => {
  const python = newPython()
  const number = (await python.ask('os.memfd_create("theirs")')) as number
  const { result } = await python.run('f = os.memfd_create("theirs"); os.write(f, b"hello"); result = f')
  expect(number).toBeGreaterThan(2)
  const fd = own(pidfdGetfd(own(pidfdOpen(python.pid)), result as number))
  expect(fd.kind).toBe('memfd')
  expect(readFileSync(`/proc/self/fd/${fd.fd}`, 'utf8')).toBe('hello')
  expect(parseInt(info(fd.fd, 'flags')!, 8) & 0o2000000).not.toBe(0)
})

test('the duplicate has the same description: its offset is shared', async () => {
  const python = newPython()
  const number = (await python.run('f = os.memfd_create("x"); os.write(f, b"hello"); result = f'))
    .result as number
  const fd = own(pidfdGetfd(own(pidfdOpen(python.pid)), number))
  expect(info(fd.fd, 'pos')).toBe('5')
  await python.run('os.lseek(f, 2, os.SEEK_SET)')
  expect(info(fd.fd, 'pos')).toBe('2')
})

test('the pidfd may be a number, or that of a peer', () => {
  const [a] = newPair()
  const pidfd = own(a.peerPidfd())
  expect(own(pidfdGetfd(pidfd.fd, 0)).stat().ino).toBe(own(pidfdGetfd(pidfd, 0)).stat().ino)
})

test('B1 18: a descriptor that the process has not: EBADF, and what is no pidfd too', () => {
  const python = newPython()
  const pidfd = own(pidfdOpen(python.pid))
  const error = failure(() => pidfdGetfd(pidfd, 9999))
  expect(error).toMatchObject({ code: 'EBADF', syscall: 'pidfd_getfd' })
  expect(error.message).toContain('the process has no such descriptor')
  expect(codeOf(() => pidfdGetfd(0, 0))).toBe('EBADF')
  pidfd.close()
  expect(codeOf(() => pidfdGetfd(pidfd, 0))).toBe('EBADF')
})

test('a process that has ended: ESRCH', async () => {
  const child = spawn('cat')
  const pidfd = own(pidfdOpen(child.pid!))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const error = failure(() => pidfdGetfd(pidfd, 0))
  expect(error).toMatchObject({ code: 'ESRCH', syscall: 'pidfd_getfd' })
  expect(error.message).toContain('the process has ended')
})

test.each([-1, 1.5, 2 ** 31, '0' as unknown as number])('a number that is none, %s: EINVAL', (number) => {
  const pidfd = own(pidfdOpen(process.pid))
  expect(codeOf(() => pidfdGetfd(pidfd, number))).toBe('EINVAL')
})

test.skipIf(!isRoot)(
  `B1 18: another user’s process: EPERM, and what it needs${isRoot ? '' : ' (left out: needs root)'}`,
  async () => {
    const source = `const pidfd = pidfdOpen(${process.pid})
      try { pidfdGetfd(pidfd, 0) } catch ({ code, message }) { print({ code, message }) }`
    expect(await node(source, { through: nobody })).toEqual({
      code: 'EPERM',
      message: expect.stringContaining('it needs the rights of ptrace(2)') as string,
    })
  },
)
