import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { Fd, memfd } from '../src/index.ts'
import { expectCount, isOpen, openCount } from './fixtures/descriptors.ts'
import { node } from './fixtures/node.ts'
import { rejection } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

test('reads and writes the file that came, from the offset that it had', async () => {
  const python = newPython()
  const fd = await python.fd(
    'f = os.memfd_create("x"); os.write(f, b"0123456789"); os.lseek(f, 4, 0); fds = [f]',
  )
  const handle = await fd.toFileHandle()
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(3), 0, 3)
  expect(buffer.toString('utf8', 0, bytesRead)).toBe('456')
  expect(await python.ask('os.lseek(f, 0, os.SEEK_CUR)')).toBe(7)
  await handle.write('X', 0)
  expect(await python.ask('os.pread(f, 2, 0).decode()')).toBe('X1')
  await handle.close()
})

test('is close-on-exec, of the same description', async () => {
  const fd = memfd('x', 'text')
  const inode = fd.stat().ino
  const handle = await fd.toFileHandle()
  expect((await handle.stat()).ino).toBe(inode)
  const source = `print(fs.readdirSync('/proc/self/fd').some((n) => {
    try { return fs.fstatSync(Number(n)).ino === ${inode} } catch { return false }
  }))`
  expect(await node(source)).toBe(false)
  await handle.close()
})

test('a stream of it closes it', async () => {
  const before = openCount()
  const handle = await memfd('x', 'of a stream').toFileHandle()
  expect(await text(handle.createReadStream())).toBe('of a stream')
  await expectCount(before)
})

test('of a directory: what Node does with one', async () => {
  const handle = await (await newPython().fd('fds = [os.open("/tmp", os.O_RDONLY)]')).toFileHandle()
  expect((await handle.stat()).isDirectory()).toBe(true)
  await handle.sync()
  await handle.close()
})

test('of a character device', async () => {
  const handle = await (await newPython().fd('fds = [os.open("/dev/zero", os.O_RDONLY)]')).toFileHandle()
  const { buffer } = await handle.read(Buffer.alloc(4, 'x'), 0, 4, null)
  expect(buffer).toEqual(Buffer.alloc(4))
  await handle.close()
})

test('one that is closed meanwhile is not adopted: EBADF, and nothing is left', async () => {
  const before = openCount()
  const fd = memfd('x')
  const adopted = rejection(fd.toFileHandle())
  fd.close()
  expect(await adopted).toMatchObject({ code: 'EBADF' })
  await expectCount(before)
})

test('one whose number is another’s meanwhile is not adopted', async () => {
  const fd = memfd('x')
  const adopted = rejection(fd.toFileHandle())
  const number = fd.take()
  expect(await adopted).toMatchObject({ code: 'EBADF' })
  expect(isOpen(number)).toBe(true)
  Fd.from(number).close()
})

test('the first of two calls gets it, the second EBADF', async () => {
  const before = openCount()
  const fd = memfd('x', 'once')
  const [first, second] = await Promise.allSettled([fd.toFileHandle(), fd.toFileHandle()])
  const [won, lost] = first.status === 'fulfilled' ? [first, second] : [second, first]
  expect(lost).toMatchObject({ status: 'rejected', reason: { code: 'EBADF' } })
  if (won.status !== 'fulfilled') throw won.reason
  expect(await won.value.readFile('utf8')).toBe('once')
  await won.value.close()
  await expectCount(before)
})

test('a full table: EMFILE, and it is as before', async () => {
  const source = `const fd = memfd('x', 'text')
    const full = []
    try { for (;;) full.push(fs.openSync('/dev/null')) } catch {}
    const code = await codeOf(() => fd.toFileHandle())
    const { size } = fd.stat()
    fs.closeSync(full.pop())
    const handle = await fd.toFileHandle()
    print({ code, size, text: await handle.readFile('utf8'), fd: fd.fd })`
  expect(await node(source, { through: ['prlimit', '--nofile=64'] })).toEqual({
    code: 'EMFILE',
    size: 4,
    text: 'text',
    fd: -1,
  })
})
