import { once } from 'node:events'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { Fd, type AdoptedSocketOptions } from '../src/index.ts'
import { expectHolders, identityOf, isOpen } from './fixtures/descriptors.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const tcp = `import socket
listener = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(listener.getsockname())
s, address = listener.accept()
fds = [s.fileno()]`
const unix = `near, s = socket.socketpair(); client = near; fds = [s.fileno()]`

/** Destroyed after the test. */
const ownSocket = (socket: Socket): Socket => {
  own({ [Symbol.dispose]: () => socket.destroy() })
  return socket
}

const firstOf = async (socket: Socket): Promise<string> => {
  const [data] = (await once(socket, 'data')) as [Buffer]
  return data.toString()
}

describe.each([
  ['a TCP connection', tcp],
  ['a Unix connection', unix],
])('%s', (_, code) => {
  test('that blocks is refused, and stays so for its sender', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const number = fd.fd
    for (const options of [{}, { nonblocking: false }, { nonblocking: undefined }]) {
      const error = failure(() => fd.toSocket(options))
      expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt' })
      expect(error.message).toContain('{ nonblocking: true } changes that')
    }
    expect(fd.fd).toBe(number)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(false)
  })

  test('that blocks is made non-blocking when that is asked for', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const socket = ownSocket(fd.toSocket({ nonblocking: true }))
    expect(fd.fd).toBe(-1)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(true)
    await python.run('client.sendall(b"hello")')
    expect(await firstOf(socket)).toBe('hello')
    socket.write('and back')
    expect(await python.ask('client.recv(100).decode()')).toBe('and back')
  })

  test('that is non-blocking needs no leave', async () => {
    const python = newPython()
    const fd = await python.fd(`${code}\ns.setblocking(False)`)
    const socket = ownSocket(fd.toSocket())
    await python.run('s.close(); client.sendall(b"hello")')
    expect(await firstOf(socket)).toBe('hello')
    const ended = once(socket, 'end')
    await python.run('client.close()')
    await ended
  })

  test('stays half-open where that is asked for', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const socket = ownSocket(fd.toSocket({ nonblocking: true, allowHalfOpen: true }))
    const ended = once(socket.resume(), 'end')
    await python.run('s.close(); client.shutdown(socket.SHUT_WR)')
    await ended
    socket.end('the end')
    expect(await python.ask('client.recv(100).decode()')).toBe('the end')
  })

  test('has one owner: the peer sees the end when the net.Socket is destroyed', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const identity = identityOf(fd.fd)
    await python.run('s.close()')
    const socket = fd.toSocket({ nonblocking: true })
    socket.destroy()
    await once(socket, 'close')
    expect(await python.ask('client.recv(100).decode()')).toBe('')
    await expectHolders(identity)
  })
})

const pipe = 'import os\nr, w = os.pipe()\n'

describe('a pipe', () => {
  test('that blocks is opened anew, to read: nothing changes for its sender', async () => {
    const python = newPython()
    const fd = await python.fd(`${pipe}os.write(w, b"already there, "); fds = [r]`)
    const identity = identityOf(fd.fd)
    const socket = fd.toSocket()
    expect(fd.fd).toBe(-1)
    expect(socket.readable).toBe(true)
    expect(socket.writable).toBe(false)
    expect(await python.ask('nonblocking(r)')).toBe(false)
    await python.run('os.close(r); os.write(w, b"and the rest"); os.close(w)')
    expect(await text(socket)).toBe('already there, and the rest')
    await expectHolders(identity)
  })

  test('that blocks is opened anew, to write', async () => {
    const python = newPython()
    const fd = await python.fd(`${pipe}fds = [w]`)
    const identity = identityOf(fd.fd)
    const socket = fd.toSocket()
    expect(socket.readable).toBe(false)
    expect(await python.ask('nonblocking(w)')).toBe(false)
    socket.end('written')
    await once(socket, 'close')
    await python.run('os.close(w)')
    expect(await python.ask('os.read(r, 100).decode()')).toBe('written')
    expect(await python.ask('os.read(r, 100).decode()')).toBe('')
    await expectHolders(identity)
  })

  test('whose reader has gone is opened anew all the same', async () => {
    const python = newPython()
    const fd = await python.fd(`${pipe}os.close(r); fds = [w]`)
    const socket = ownSocket(fd.toSocket())
    const failed = once(socket, 'error')
    socket.write('x')
    expect(await failed).toMatchObject([{ code: 'EPIPE' }])
  })

  test('is changed for its sender when that is asked for', async () => {
    const python = newPython()
    const fd = await python.fd(`${pipe}fds = [r]`)
    const number = fd.fd
    ownSocket(fd.toSocket({ nonblocking: true }))
    expect(isOpen(number)).toBe(true)
    expect(await python.ask('nonblocking(r)')).toBe(true)
  })

  test('that is non-blocking is adopted as it is', async () => {
    const python = newPython()
    const fd = await python.fd(`${pipe}os.set_blocking(r, False); fds = [r]`)
    const socket = ownSocket(fd.toSocket())
    await python.run('os.write(w, b"x")')
    expect(await firstOf(socket)).toBe('x')
  })

  test.each<[string, string, AdoptedSocketOptions, string]>([
    ['to write', 'w', { readable: true }, 'not readable'],
    ['to read', 'r', { writable: true }, 'not writable'],
  ])('%s has no other direction: EINVAL', async (_, end, options, message) => {
    const fd = await newPython().fd(`${pipe}fds = [${end}]`)
    const error = failure(() => fd.toSocket(options))
    expect(error.code).toBe('EINVAL')
    expect(error.message).toContain(message)
    expect(isOpen(fd.fd)).toBe(true)
  })

  test('in packet mode is not opened anew, for it would lose that; its reader is', async () => {
    const python = newPython()
    const { fds } = await python.run('r, w = os.pipe2(os.O_DIRECT); fds = [r, w]')
    const [reader, writer] = fds as [Fd, Fd]
    const error = failure(() => writer.toSocket())
    expect(error.code).toBe('EINVAL')
    expect(error.message).toContain('O_DIRECT')
    expect(isOpen(writer.fd)).toBe(true)
    ownSocket(reader.toSocket())
    const socket = ownSocket(writer.toSocket({ nonblocking: true }))
    expect(socket.writable).toBe(true)
  })
})

describe('a FIFO', () => {
  const fifo = `import tempfile
path = os.path.join(tempfile.mkdtemp(), "fifo")
os.mkfifo(path)
both = os.open(path, os.O_RDWR)
def remove():
    os.unlink(path)
    os.rmdir(os.path.dirname(path))
`

  test('that is open for both is read and written', async () => {
    const python = newPython()
    const fd = await python.fd(`${fifo}remove(); fds = [both]`)
    expect(fd.kind).toBe('fifo')
    const socket = ownSocket(fd.toSocket())
    expect(await python.ask('nonblocking(both)')).toBe(false)
    socket.write('to itself')
    expect(await firstOf(socket)).toBe('to itself')
  })

  test('that nobody reads cannot be opened anew: ENXIO, and what helps', async () => {
    const python = newPython()
    const fd = await python.fd(`${fifo}w = os.open(path, os.O_WRONLY); remove(); os.close(both); fds = [w]`)
    const error = failure(() => fd.toSocket())
    expect(error).toMatchObject({ code: 'ENXIO', syscall: 'open' })
    expect(error.message).toContain('{ nonblocking: true } changes it for all')
    expect(isOpen(fd.fd)).toBe(true)
    expect(ownSocket(fd.toSocket({ nonblocking: true })).writable).toBe(true)
  })
})

test('a socket that is not connected tells so as Node’s do', async () => {
  const fd = await newPython().fd('s = socket.socket(); s.setblocking(False); fds = [s.fileno()]')
  const socket = fd.toSocket()
  expect(await once(socket, 'error')).toMatchObject([{ code: 'ENOTCONN' }])
})

test('what another handle of this thread’s loop has is not adopted: EEXIST, and it stays as it was', async () => {
  const python = newPython()
  const fd = await python.fd(unix)
  const number = fd.fd
  const socket = ownSocket(fd.toSocket({ nonblocking: true }))
  const second = Fd.from(number)
  second.setBlocking(true) // nothing comes meanwhile: Node’s thread would wait for more
  const error = failure(() => second.toSocket({ nonblocking: true }))
  expect(error).toMatchObject({ code: 'EEXIST', errno: -17, syscall: 'adopt', cause: { code: 'EEXIST' } })
  expect(second.fd).toBe(number)
  expect(second.blocking).toBe(true)
  second.setBlocking(false)
  second.take()
  second.close()
  await python.run('client.sendall(b"still there")')
  expect(await firstOf(socket)).toBe('still there')
})

test.each<[string, AdoptedSocketOptions]>([
  ['an unknown option', { nonBlocking: true } as AdoptedSocketOptions],
  ['a flag that is none', { readable: 1 } as unknown as AdoptedSocketOptions],
  ['leave that is none', { nonblocking: 'yes' } as unknown as AdoptedSocketOptions],
])('%s is refused: EINVAL', async (_, options) => {
  const fd = await newPython().fd(unix)
  expect(codeOf(() => fd.toSocket(options))).toBe('EINVAL')
  expect(fd.blocking).toBe(true)
})

test('a worker’s net.Socket ends with it', async () => {
  const python = newPython()
  const given = (await python.fd(unix)).take()
  await python.run('s.close()')
  const worker = new Worker(new URL('fixtures/adopting-worker.js', import.meta.url), { workerData: given })
  expect(await python.ask('client.recv(100).decode()')).toBe('from a worker')
  const told = once(worker, 'message')
  await python.run('client.sendall(b"hello")')
  expect(await told).toEqual(['hello'])
  await worker.terminate()
  expect(await python.ask('client.recv(100).decode()')).toBe('')
})
