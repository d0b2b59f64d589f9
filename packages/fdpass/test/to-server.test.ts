import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Fd, type AdoptedServerOptions } from '../src/index.ts'
import { expectHolders, identityOf, isOpen } from './fixtures/descriptors.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf, rejection } from './fixtures/sockets.ts'
import { newPython } from './fixtures/python.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

const ownServer = (server: net.Server): net.Server => {
  own({ [Symbol.dispose]: () => server.close() })
  return server
}

const tcp = 's = socket.create_server(("127.0.0.1", 0)); fds = [s.fileno()]'
const unix = `import tempfile
path = os.path.join(tempfile.mkdtemp(), "socket")
s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); fds = [s.fileno()]`

const sayHello = (socket: net.Socket): void => {
  socket.end('hello')
}

const ask =
  'c = socket.create_connection(s.getsockname()) if s.family == socket.AF_INET else socket.socket(socket.AF_UNIX)\n'
const request = `${ask}
if s.family == socket.AF_UNIX: c.connect(path)
result = c.recv(100).decode()`

describe.each([
  ['a TCP listener', tcp],
  ['a Unix listener', unix],
])('%s', (_, code) => {
  test('that blocks is refused, and stays so for its sender', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const number = fd.fd
    const error = await rejection(fd.toServer())
    expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt' })
    expect(error.message).toContain('{ nonblocking: true } changes that')
    expect(fd.fd).toBe(number)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(false)
  })

  test('serves when it may be made non-blocking', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const server = ownServer(await fd.toServer({ nonblocking: true }, sayHello))
    expect(fd.fd).toBe(-1)
    expect(server.listening).toBe(true)
    expect(await python.ask('nonblocking(s.fileno())')).toBe(true)
    expect((await python.run(request)).result).toBe('hello')
  })

  test('that is non-blocking needs no leave; a connection that waits already is served', async () => {
    const python = newPython()
    const fd = await python.fd(`${code}\ns.setblocking(False)`)
    await python.run(request.replace(/result.*/, ''))
    ownServer(await fd.toServer({}, sayHello))
    expect(await python.ask('c.recv(100).decode()')).toBe('hello')
  })

  test('is closed with the net.Server, and its name is left alone', async () => {
    const python = newPython()
    const fd = await python.fd(code)
    const identity = identityOf(fd.fd)
    const server = await fd.toServer({ nonblocking: true })
    const address = server.address()
    server.close()
    await once(server, 'close')
    await expectHolders(identity)
    if (typeof address === 'string') expect(existsSync(address)).toBe(true)
  })
})

test('the options of net.createServer are its own', async () => {
  const python = newPython()
  const fd = await python.fd(tcp)
  const server = ownServer(
    await fd.toServer({ nonblocking: true, pauseOnConnect: true, allowHalfOpen: true }),
  )
  const accepted = once(server, 'connection') as Promise<[net.Socket]>
  await python.run(`${ask}c.sendall(b"x"); c.shutdown(socket.SHUT_WR)`)
  const [socket] = await accepted
  expect(socket.isPaused()).toBe(true)
  expect(socket.allowHalfOpen).toBe(true)
  expect(await text(socket.resume())).toBe('x')
})

test('an http.Server takes its connections', async () => {
  const { createServer } = await import('node:http')
  const python = newPython()
  const fd = await python.fd(tcp)
  const http = createServer((_, response) => response.end('over http'))
  ownServer(await fd.toServer({ nonblocking: true }, (socket) => http.emit('connection', socket)))
  const port = (await python.ask('s.getsockname()[1]')) as number
  const response = await fetch(`http://127.0.0.1:${port}`, { headers: { connection: 'close' } })
  expect(await response.text()).toBe('over http')
})

test('what another handle of this thread’s loop has is not adopted: EEXIST, and it stays as it was', async () => {
  const python = newPython()
  const fd = await python.fd(tcp)
  const number = fd.fd
  ownServer(await fd.toServer({ nonblocking: true }, sayHello))
  const second = Fd.from(number)
  second.setBlocking(true) // nothing comes meanwhile: Node’s thread would wait for more
  const error = await rejection(second.toServer({ nonblocking: true }))
  expect(error).toMatchObject({ code: 'EEXIST', syscall: 'adopt', cause: { code: 'EEXIST' } })
  expect(second.fd).toBe(number)
  expect(isOpen(number)).toBe(true)
  expect(second.blocking).toBe(true)
  second.setBlocking(false)
  expect(second.take()).toBe(number)
  expect((await python.run(request)).result).toBe('hello')
})

test.each<[string, AdoptedServerOptions]>([
  ['an unknown option', { ipv6Only: true } as AdoptedServerOptions],
  ['a backlog that is none', { backlog: -1 }],
  ['leave that is none', { nonblocking: 1 } as unknown as AdoptedServerOptions],
  [
    'an option that Node refuses',
    { nonblocking: true, highWaterMark: 'x' } as unknown as AdoptedServerOptions,
  ],
])('%s is refused: EINVAL', async (_, options) => {
  const fd = await newPython().fd(tcp)
  expect(await rejection(fd.toServer(options))).toMatchObject({ code: 'EINVAL' })
  expect(fd.blocking).toBe(true)
  expect(codeOf(() => Fd.from(fd.fd))).toBe('EBUSY')
})

test('in a worker of node:cluster Node would take the primary’s descriptor: EOPNOTSUPP', async () => {
  const child = spawn(process.execPath, ['test/fixtures/cluster.js'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')])
  expect(JSON.parse(output)).toEqual({ server: 'ENOTSUP', kept: true, dgram: 'hello' })
})
