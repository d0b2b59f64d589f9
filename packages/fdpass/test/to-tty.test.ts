import { once } from 'node:events'
import type { ReadStream, WriteStream } from 'node:tty'
import { expect, test } from 'vitest'
import { expectHolders, identityOf, isOpen } from './fixtures/descriptors.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const pty = 'import os\nmaster, slave = os.openpty()\n'

const ownStream = <T extends ReadStream | WriteStream>(stream: T): T => {
  stream.on('error', () => undefined) // of a terminal whose other end has gone
  own({ [Symbol.dispose]: () => stream.destroy() })
  return stream
}

const firstOf = async (stream: ReadStream): Promise<string> => {
  const [data] = (await once(stream, 'data')) as [Buffer]
  return data.toString()
}

test('a terminal becomes a ReadStream, and its description stays as it was', async () => {
  const python = newPython()
  const fd = await python.fd(`${pty}fds = [slave]`)
  const identity = identityOf(fd.fd)
  const stream = fd.toTty()
  expect(fd.fd).toBe(-1)
  expect(stream.isTTY).toBe(true)
  expect(await python.ask('nonblocking(slave)')).toBe(false)
  await python.run('os.write(master, b"a line\\n")')
  expect(await firstOf(stream)).toBe('a line\n')
  stream.setRawMode(true)
  const key = firstOf(stream)
  await python.run('os.write(master, b"k")')
  expect(await key).toBe('k')
  stream.destroy()
  await once(stream, 'close')
  await expectHolders(identity)
  expect(await python.ask('nonblocking(slave)')).toBe(false)
})

test('and a WriteStream', async () => {
  const python = newPython()
  const fd = await python.fd(`${pty}import termios
termios.tcsetwinsize(master, (30, 100)); os.set_blocking(slave, False); fds = [slave]`)
  const identity = identityOf(fd.fd)
  const stream = fd.toTty('write')
  expect([stream.isTTY, stream.columns, stream.rows]).toEqual([true, 100, 30])
  stream.write('written')
  expect(await python.ask('os.read(master, 100).decode()')).toBe('written')
  expect(await python.ask('nonblocking(slave)')).toBe(true)
  stream.destroy()
  await once(stream, 'close')
  await expectHolders(identity)
})

test('both, of two descriptors', async () => {
  const python = newPython()
  const fd = await python.fd(`${pty}fds = [slave]`)
  const output = ownStream(fd.dup().toTty('write'))
  const input = ownStream(fd.toTty('read'))
  // The echo, which may come in parts.
  await python.run(`os.write(master, b"question\\n")
echo = b""
while not echo.endswith(b"\\n"): echo += os.read(master, 100)`)
  expect(await firstOf(input)).toBe('question\n')
  output.write('answer')
  expect(await python.ask('os.read(master, 100).decode()')).toBe('answer')
})

test.each([
  ['O_RDONLY', 'write', 'read'],
  ['O_WRONLY', 'read', 'write'],
] as const)('one that is open with %s is not to %s, and is to %s', async (mode, refused, allowed) => {
  const python = newPython()
  const fd = await python.fd(`${pty}fds = [os.open(os.ttyname(slave), os.${mode} | os.O_NOCTTY)]`)
  const identity = identityOf(fd.fd)
  const error = failure(() => (refused === 'read' ? fd.toTty() : fd.toTty('write')))
  expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt' })
  expect(error.message).toContain(`not open to ${refused}`)
  const stream = allowed === 'read' ? fd.toTty() : fd.toTty('write')
  stream.destroy()
  await once(stream, 'close')
  await expectHolders(identity)
})

test.each([true, false])(
  'the master is taken as it is (blocking: %s), and both reads and writes',
  async (blocking) => {
    const python = newPython()
    const fd = await python.fd(
      `${pty}os.set_blocking(master, ${blocking ? 'True' : 'False'}); fds = [master]`,
    )
    const identity = identityOf(fd.fd)
    const number = fd.fd
    const stream = fd.toTty()
    expect(fd.fd).toBe(-1)
    expect(isOpen(number)).toBe(true)
    await python.run('os.write(slave, b"of the program")')
    expect(await firstOf(stream)).toBe('of the program')
    stream.write('typed\n')
    expect(await python.ask('os.read(slave, 100).decode()')).toBe('typed\n')
    expect(await python.ask('nonblocking(master)')).toBe(!blocking)
    stream.destroy()
    await once(stream, 'close')
    expect(await python.ask('nonblocking(master)')).toBe(!blocking)
    await expectHolders(identity)
  },
)

test('the master is no WriteStream: that would set its O_NONBLOCK', async () => {
  const fd = await newPython().fd(`${pty}fds = [master]`)
  const error = failure(() => fd.toTty('write'))
  expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt' })
  expect(error.message).toContain('its ReadStream writes too')
  expect(isOpen(fd.fd)).toBe(true)
})

test('one that was hung up: EIO, and it stays as it was', async () => {
  const fd = await newPython().fd(`${pty}os.close(master); fds = [slave]`)
  const number = fd.fd
  expect(failure(() => fd.toTty()).code).toBe('EIO')
  expect(isOpen(number)).toBe(true)
  expect(fd.fd).toBe(number)
})

test('/dev/tty of another session is not mistaken for one’s own', async () => {
  const python = newPython()
  // The child has the slave as its controlling terminal, and opens it by the name that means another here.
  const fd = await python.fd(`${pty}import termios
near, far = socket.socketpair()
if os.fork() == 0:
    near.close()
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    socket.send_fds(far, [b"x"], [os.open("/dev/tty", os.O_RDWR)])
    far.recv(1)
    os._exit(0)
data, fds, _, _ = socket.recv_fds(near, 1, 1)`)
  const identity = identityOf(fd.fd)
  expect(fd.kind).toBe('tty')
  const error = failure(() => fd.toTty())
  expect(['ENXIO', 'EINVAL']).toContain(error.code)
  await expectHolders(identity, 1)
  expect(isOpen(fd.fd)).toBe(true)
})

test('a direction that is none is refused: EINVAL', async () => {
  const fd = await newPython().fd(`${pty}fds = [slave]`)
  expect(codeOf(() => fd.toTty('both' as 'read'))).toBe('EINVAL')
})
