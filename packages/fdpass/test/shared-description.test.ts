import { spawnSync } from 'node:child_process'
import { readFileSync, readSync, writeSync } from 'node:fs'
import net from 'node:net'
import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { Fd, FdListener, FdSocket, listen } from '../src/index.ts'
import type { FdLike } from '../src/index.ts'
import { newFile } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, claimed, codeOf, links, newPair, next, received } from './fixtures/sockets.ts'
import { program, python } from './fixtures/program.ts'

const O_NONBLOCK = 0o4000

const isNonblocking = (fd: FdLike): boolean => {
  const number = typeof fd === 'number' ? fd : fd.fd
  const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${number}`, 'utf8'))?.[1]
  return (Number.parseInt(flags ?? '', 8) & O_NONBLOCK) !== 0
}

const passed = (fd: FdLike): Fd => {
  const [a, b] = newPair({ type: 'seqpacket' })
  a.sendSync('x', [fd])
  return claimed(received(b))
}

describe('what is received is the same open file description', () => {
  test('B1.11: its offset moves for both', () => {
    const file = newFile('0123456789')
    const other = passed(file)
    const bytes = Buffer.alloc(2)
    // The text was written through it, so the offset is at its end; what one writes moves the other.
    writeSync(other.fd, 'ab')
    writeSync(file.fd, 'cd')
    readSync(file.fd, bytes, 0, 2, 10)
    expect(bytes.toString()).toBe('ab')
    expect(/^pos:\s*14$/m.test(readFileSync(`/proc/self/fdinfo/${other.fd}`, 'utf8'))).toBe(true)
    // A description of its own begins at the start.
    const reopened = own(other.reopen(0))
    expect(readSync(reopened.fd, bytes, 0, 2, null)).toBe(2)
    expect(bytes.toString()).toBe('01')
    expect(/^pos:\s*14$/m.test(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'))).toBe(true)
  })

  test('B1.11: O_NONBLOCK is one for both; only setBlocking changes it', () => {
    const file = newFile()
    const other = passed(file)
    expect([file.blocking, other.blocking]).toEqual([true, true])
    other.setBlocking(false)
    expect([file.blocking, other.blocking, isNonblocking(file)]).toEqual([false, false, true])
    file.setBlocking(true)
    expect([file.blocking, other.blocking, isNonblocking(other)]).toEqual([true, true, false])
    expect(
      codeOf(() => {
        file.setBlocking(1 as never)
      }),
    ).toBe('EINVAL')
  })

  test('B1.11: a lock of flock(2) is one for both, in whichever process', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const file = newFile()
    const child = python(
      `data, fds, flags, address = socket.recv_fds(s, 10, 1)
fcntl.flock(fds[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
s.send(b'locked')
s.recv(1)
print_json('done')`,
      { sockets: [b] },
    )
    a.sendSync('x', [file])
    await next(a)
    const lock = (path: string): number | null =>
      spawnSync('flock', ['--nonblock', '--exclusive', path, 'true']).status
    // Another description of the file is locked out, ours is not: it holds the lock as well.
    const path = `/proc/${process.pid}/fd/${file.fd}`
    expect(lock(path)).toBe(1)
    const same = spawnSync('flock', ['--nonblock', '--exclusive', '3'], {
      stdio: ['ignore', 'ignore', 'inherit', file.fd],
    })
    expect(same.status).toBe(0)
    a.sendSync('x')
    expect(await child).toBe('done')
    // It lives as long as the last descriptor, which is here.
    expect(lock(path)).toBe(1)
    file.close()
  })

  test('96: SO_RCVTIMEO that another process sets is there for all who have the socket', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const [c] = newPair({ type: 'stream', framed: false })
    const child = python(
      `def receive():
    data, fds, flags, address = socket.recv_fds(s, 10, 1)
    return socket.socket(fileno=fds[0])
first = receive()
first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 1, 250000))
first.close()
s.send(b'set')
print_json(struct.unpack('ll', receive().getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)))`,
      { sockets: [b] },
    )
    a.sendSync('x', [c])
    await next(a)
    a.sendSync('x', [c])
    const [seconds, microseconds] = (await child) as [number, number]
    expect(seconds + microseconds / 1e6).toBeCloseTo(1.25, 1)
  })
})

describe('O_NONBLOCK of what is not ours alone', () => {
  test.each(links)(
    'B1.11: sockets of ours never have it, while they wait or send, of %s',
    async (_, options) => {
      const [a, b] = newPair({ ...options, sendBuffer: 1 })
      const waiting = next(b)
      for (let i = 0; i < 50; i++) void a.send('x'.repeat(500)).catch(() => undefined)
      expect(codeOf(() => own(newPair(options)[0]).recvSync({ timeout: 1 }))).toBe('ETIMEDOUT')
      expect([isNonblocking(a), isNonblocking(b)]).toEqual([false, false])
      await waiting
      expect([isNonblocking(a), isNonblocking(b)]).toEqual([false, false])
    },
  )

  test('B1.11: connected and accepted sockets do not have it', async () => {
    const listener = own(listen(`${newFolder()}/socket`))
    const client = own(await FdSocket.connect(listener.name))
    const sync = own(FdSocket.connectSync(listener.name))
    const servers = [await accepted(listener), await accepted(listener)]
    expect([client, sync, ...servers].map(isNonblocking)).toEqual([false, false, false, false])
  })

  test.each(links)('B1.11: what is passed keeps it as it was, of %s', (_, options) => {
    const [a, b] = newPair(options)
    const [blocking, other] = [newFile(), newFile()]
    other.setBlocking(false)
    a.sendSync('x', [blocking, other])
    expect(received(b).fds.map(isNonblocking)).toEqual([false, true])
    expect([blocking, other].map(isNonblocking)).toEqual([false, true])
  })

  test.each([true, false])(
    'B1.11: a socket that is adopted keeps it (%s), and works',
    async (nonblocking) => {
      const [a, b] = newPair({ type: 'seqpacket' })
      const fd = Fd.from(b.take())
      fd.setBlocking(!nonblocking)
      const copy = own(fd.dup())
      const socket = own(FdSocket.from(fd))
      const message = next(socket)
      a.sendSync('x')
      await message
      await socket.send('y')
      expect(codeOf(() => socket.recvSync({ timeout: 1 }))).toBe('ETIMEDOUT')
      expect(isNonblocking(copy)).toBe(nonblocking)
      socket.close()
      expect(isNonblocking(copy)).toBe(nonblocking)
    },
  )

  test('B1.11: a listener that blocks is not adopted, unless it may be changed', async () => {
    const path = `${newFolder()}/socket`
    const [a, b] = newPair({ type: 'seqpacket' })
    const child = python(
      `t = socket.socket(socket.AF_UNIX)
t.bind(${JSON.stringify(path)})
t.listen()
socket.send_fds(s, [b'x'], [t.fileno()])
print_json('sent')`,
      { sockets: [b] },
    )
    const fd = claimed(await next(a))
    expect(await child).toBe('sent')
    expect(codeOf(() => FdListener.from(fd))).toBe('EINVAL')
    expect([fd.blocking, fd.kind]).toEqual([true, 'unix-stream-listener'])
    const copy = own(fd.dup())
    const listener = own(FdListener.from(fd, { nonblocking: true }))
    expect(copy.blocking).toBe(false)
    const client = own(await FdSocket.connect(path))
    client.sendSync('x')
    expect(received(await accepted(listener)).data.toString()).toBe('x')
  })

  test('B1.11: that Node sets, when it takes a pipe of ours, is set for the sender too', async () => {
    // What Node does, so that nobody is surprised: the reason why nothing of ours does it.
    const [c] = newPair({ type: 'stream', framed: false })
    const other = passed(c)
    const socket = new net.Socket({ fd: other.take() })
    expect(isNonblocking(c)).toBe(true)
    const closed = once(socket, 'close')
    socket.destroy()
    await closed
  })
})

test('101: a process sends a file that it has made and removed', async () => {
  const [a, b] = newPair()
  const child = program(
    `const path = ${JSON.stringify(newFolder())} + '/temporary'
    const fd = fs.openSync(path, 'w+')
    fs.unlinkSync(path)
    fs.writeSync(fd, 'Hello from the child')
    const socket = FdSocket.from(3)
    await socket.send('x', [fd])
    fs.closeSync(fd)
    print(process.pid)`,
    { sockets: [b] },
  )
  const file = claimed(await next(a))
  const bytes = Buffer.alloc(20)
  readSync(file.fd, bytes, 0, 20, 0)
  expect(bytes.toString()).toBe('Hello from the child')
  expect(await child).not.toBe(process.pid)
  expect(await a.recv()).toBe(null)
})
