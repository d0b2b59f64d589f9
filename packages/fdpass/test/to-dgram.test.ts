import { once } from 'node:events'
import type { RemoteInfo, Socket } from 'node:dgram'
import { describe, expect, test } from 'vitest'
import { Fd, type NonblockingOptions } from '../src/index.ts'
import { expectHolders, identityOf, isOpen } from './fixtures/descriptors.ts'
import { node } from './fixtures/node.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, failure } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const udp4 = `s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); fds = [s.fileno()]
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); peer.bind(("127.0.0.1", 0))
send = lambda data: peer.sendto(data, s.getsockname())`
const udp6 = udp4.replaceAll('AF_INET', 'AF_INET6').replaceAll('127.0.0.1', '::1')

const ownSocket = (socket: Socket): Socket => {
  own({ [Symbol.dispose]: () => socket.close() })
  return socket
}

const next = async (socket: Socket): Promise<[string, RemoteInfo]> => {
  const [data, from] = (await once(socket, 'message')) as [Buffer, RemoteInfo]
  return [data.toString(), from]
}

describe.each([
  ['IPv4', udp4, 'IPv4'],
  ['IPv6', udp6, 'IPv6'],
])('a UDP socket of %s', (_, code, family) => {
  test('that blocks is refused, and stays so for its sender', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const number = fd.fd
    const error = failure(() => fd.toDgram())
    expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt' })
    expect(error.message).toContain('{ nonblocking: true } changes that')
    expect(fd.fd).toBe(number)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(false)
  })

  test('receives and sends when it may be made non-blocking', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const identity = identityOf(fd.fd)
    const socket = fd.toDgram({ nonblocking: true })
    expect(fd.fd).toBe(-1)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(true)
    expect(socket.address()).toMatchObject({ family, port: await python.ask('s.getsockname()[1]') })
    const coming = next(socket)
    await python.run('send(b"hello")')
    const [data, from] = await coming
    expect(data).toBe('hello')
    socket.send('and back', from.port, from.address)
    expect(await python.ask('peer.recv(100).decode()')).toBe('and back')
    socket.close()
    await expectHolders(identity)
  })

  test('that is non-blocking needs no leave; what waits already is received', async () => {
    const python = newPython()
    const fd = await python.fd(`${code}\ns.setblocking(False); send(b"early")`)
    expect(await next(ownSocket(fd.toDgram()))).toMatchObject(['early', { family }])
  })
})

test('a connected one is refused, for Node cannot send on it: EISCONN', async () => {
  const python = newPython()
  const fd = await python.fd(`${udp4}\ns.setblocking(False); s.connect(peer.getsockname())`)
  const error = failure(() => fd.toDgram())
  expect(error).toMatchObject({ code: 'EISCONN', errno: -106, syscall: 'adopt' })
  expect(error.message).toContain('neither send')
  expect(isOpen(fd.fd)).toBe(true)
})

test('one without a name yet is adopted, and gets one with its first datagram', async () => {
  const python = newPython()
  const fd = await python.fd('s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); fds = [s.fileno()]')
  const socket = ownSocket(fd.toDgram({ nonblocking: true }))
  await python.run('peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); peer.bind(("127.0.0.1", 0))')
  socket.send('x', (await python.ask('peer.getsockname()[1]')) as number, '127.0.0.1')
  expect(await python.ask('peer.recv(100).decode()')).toBe('x')
})

test('descriptor 0 is one too', async () => {
  const python = newPython()
  const fd = await python.fd(udp4)
  const source = `import { once } from 'node:events'
    const fd = Fd.from(0)
    const refused = await codeOf(() => fd.toDgram())
    const stillIts = fd.fd === 0 && fd.blocking
    const socket = fd.toDgram({ nonblocking: true })
    const { port } = socket.address()
    socket.send('hello', port, '127.0.0.1')
    const [data] = await once(socket, 'message')
    print({ refused, stillIts, port, data: data.toString(), zero: await codeOf(() => fs.fstatSync(0)), fd: fd.fd })
    socket.close()`
  expect(await node(source, { input: fd.fd })).toEqual({
    refused: 'EINVAL',
    stillIts: true,
    port: await python.ask('s.getsockname()[1]'),
    data: 'hello',
    zero: 'EBADF',
    fd: -1,
  })
})

test('what another handle of this thread’s loop has is not adopted: EEXIST, and it stays as it was', async () => {
  const python = newPython()
  const fd = await python.fd(udp4)
  const number = fd.fd
  const socket = ownSocket(fd.toDgram({ nonblocking: true }))
  const second = Fd.from(number)
  second.setBlocking(true) // nothing comes meanwhile: Node’s thread would wait for more
  const error = failure(() => second.toDgram({ nonblocking: true }))
  expect(error).toMatchObject({ code: 'EEXIST', syscall: 'adopt', cause: { code: 'EEXIST' } })
  expect(second.blocking).toBe(true)
  second.setBlocking(false)
  expect(second.take()).toBe(number)
  const coming = next(socket)
  await python.run('send(b"still there")')
  expect((await coming)[0]).toBe('still there')
})

test.each<[string, NonblockingOptions]>([
  ['an unknown option', { reuseAddr: true } as NonblockingOptions],
  ['leave that is none', { nonblocking: 1 } as unknown as NonblockingOptions],
])('%s is refused: EINVAL', async (_, options) => {
  const fd = await newPython().fd(udp4)
  expect(codeOf(() => fd.toDgram(options))).toBe('EINVAL')
  expect(fd.blocking).toBe(true)
})
