import { existsSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fd, FdListener, FdSocket, listen } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { openCount } from './fixtures/descriptors.ts'
import { codeOf } from './fixtures/outcomes.ts'
import { newPair } from './fixtures/sockets.ts'
import { script } from './fixtures/script.ts'

const newListener = (options = {}): FdListener => own(listen(join(newFolder(), 'socket'), options))

describe.each(['stream', 'seqpacket'] as const)('a listener of type %s', (type) => {
  test('accepts connections in turn', async () => {
    const listener = newListener({ type })
    const waiting = [listener.accept(), listener.accept()]
    const clients = [
      await FdSocket.connect(listener.name, { type }),
      await FdSocket.connect(listener.name, { type }),
    ]
    const servers = await Promise.all(waiting)
    for (const socket of [...clients, ...servers]) own(socket)
    await clients[1]!.send('second')
    expect((await servers[1]!.recv())?.data.toString()).toBe('second')
    expect([listener.type, servers[0]!.type, servers[0]!.localName]).toEqual([type, type, listener.name])
    expect(clients[0]!.peerName).toBe(listener.name)
  })

  test('by the thread', () => {
    const listener = newListener({ type })
    const client = own(FdSocket.connectSync(listener.name, { type }))
    const server = own(listener.acceptSync())
    client.sendSync('x')
    expect(server.recvSync()?.data.toString()).toBe('x')
  })
})

describe('accept', () => {
  test('85: ends at its deadline, or when it is given up', async () => {
    const listener = newListener()
    expect(await codeOf(() => listener.accept({ timeout: 0 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => listener.accept({ timeout: 5 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => listener.acceptSync({ timeout: 5 }))).toBe('ETIMEDOUT')
    await expect(listener.accept({ signal: AbortSignal.timeout(5) })).rejects.toThrow(/timeout/)
  })

  test('is EBADF when the listener is closed, and the iteration ends', async () => {
    const listener = newListener()
    const waiting = codeOf(() => listener.accept())
    const sockets: FdSocket[] = []
    const iteration = (async () => {
      for await (const socket of listener) sockets.push(own(socket))
    })()
    own(await FdSocket.connect(listener.name))
    expect(await waiting).toBe('no error')
    listener.close()
    await iteration
    expect(sockets).toEqual([])
    expect(await codeOf(() => listener.accept())).toBe('EBADF')
  })

  test('gives sockets the options of the listener', async () => {
    const listener = newListener({ framed: false, credentials: true })
    const client = own(await FdSocket.connect(listener.name, { framed: false }))
    await client.send('before it is accepted')
    const server = own(await listener.accept())
    const message = own((await server.recv())!)
    expect(server.framed).toBe(false)
    expect(message.credentials).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    })
  })

  test('with a full table is EMFILE, and the connection waits', async () => {
    const { output } = await script(`const listener = listen('\\0full-' + process.pid)
      const client = await FdSocket.connect(listener.name)
      const fill = []
      try { for (;;) fill.push(Fd.open('/dev/null', 0)) } catch (error) { console.log(error.code) }
      await listener.accept().catch((error) => console.log(error.code, error.syscall))
      for (const fd of fill) fd.close()
      const server = await listener.accept()
      await client.send('x'); console.log((await server.recv()).data.toString())`)
    expect(output).toBe('EMFILE\nEMFILE accept\nx')
  })
})

describe('connect', () => {
  test('waits while the queue is full, and gives up at its deadline', async () => {
    const listener = newListener({ backlog: 0 })
    own(await FdSocket.connect(listener.name))
    expect(await codeOf(() => FdSocket.connect(listener.name, { timeout: 20 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => FdSocket.connectSync(listener.name, { timeout: 20 }))).toBe('ETIMEDOUT')
    await expect(FdSocket.connect(listener.name, { signal: AbortSignal.timeout(5) })).rejects.toThrow(
      /timeout/,
    )
    const waiting = FdSocket.connect(listener.name)
    own(await listener.accept())
    own(await waiting)
    own(await listener.accept())
  })

  test.each([
    ['ENOENT', (folder: string) => join(folder, 'nothing')],
    ['ENOENT', (folder: string) => join(folder, 'no', 'folder')],
    ['ECONNREFUSED', () => `\0nobody-${process.pid}`],
    ['EINVAL', () => ''],
    ['EINVAL', () => 'a\0b'],
    ['ENAMETOOLONG', () => `\0${'n'.repeat(108)}`],
  ])('is %s', async (code, name) => {
    const before = openCount()
    expect(await codeOf(() => FdSocket.connect(name(newFolder())))).toBe(code)
    expect(openCount()).toBe(before)
  })

  test('to a listener of another type is EPROTOTYPE', async () => {
    const listener = newListener({ type: 'seqpacket' })
    expect(await codeOf(() => FdSocket.connect(listener.name))).toBe('EPROTOTYPE')
  })
})

describe('the path', () => {
  test('goes with the listener, unless it has become another’s', async () => {
    const path = join(newFolder(), 'socket')
    listen(path).close()
    expect(existsSync(path)).toBe(false)
    const first = listen(path)
    renameSync(path, `${path}.old`)
    const second = own(listen(path))
    first.close()
    own(await FdSocket.connect(second.name))
    const kept = listen(join(newFolder(), 'kept'), { unlink: false })
    kept.close()
    expect(existsSync(kept.name)).toBe(true)
  })

  test('that exists is EADDRINUSE; replace takes only what a socket has left behind', async () => {
    const path = join(newFolder(), 'socket')
    listen(path, { unlink: false }).close()
    expect(await codeOf(() => listen(path))).toBe('EADDRINUSE')
    const listener = own(listen(path, { replace: true }))
    expect(await codeOf(() => listen(path, { replace: true }))).toBe('EADDRINUSE')
    expect(await codeOf(() => listen(path, { replace: true, type: 'seqpacket' }))).toBe('EADDRINUSE')
    own(await FdSocket.connect(listener.name))
    const file = join(newFolder(), 'file')
    writeFileSync(file, 'precious')
    expect(await codeOf(() => listen(file, { replace: true }))).toBe('EADDRINUSE')
  })
})

describe('FdListener.from', () => {
  test('takes what listens; what blocks only when told', async () => {
    const original = newListener()
    const name = original.name
    const again = own(FdListener.from(original.take()))
    own(await FdSocket.connect(name))
    own(await again.accept())
    expect(again.name).toBe(name)
    const fd = own(Fd.from(again.take()))
    fd.setBlocking(true)
    expect(await codeOf(() => FdListener.from(fd))).toBe('EINVAL')
    expect(fd.blocking).toBe(true)
    own(FdListener.from(fd, { nonblocking: true }))
    const [socket] = newPair()
    expect(await codeOf(() => FdListener.from(Fd.from(socket.take())))).toBe('EINVAL')
  })
})

test.each([
  [{ backlog: -1 }],
  [{ mode: 0o7777 }],
  [{ mode: 'rw' }],
  [{ replace: 1 }],
  [{ path: '/x' }],
  [{ type: 'dgram' }],
])('listen with %j is EINVAL, and makes nothing', async (options) => {
  const path = join(newFolder(), 'socket')
  const before = openCount()
  expect(await codeOf(() => listen(path, options as never))).toBe('EINVAL')
  expect([existsSync(path), openCount()]).toEqual([false, before])
})
