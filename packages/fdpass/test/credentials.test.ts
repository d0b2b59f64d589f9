import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { binding } from '../src/binding.ts'
import { FdSocket, listen } from '../src/index.ts'
import { newFile, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, claimed, codeOf, isQuiet, links, newPair, next, received } from './fixtures/sockets.ts'
import { isRoot, program, python, unprivileged } from './fixtures/program.ts'

const self = { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() }
const nobody = { pid: 0, uid: 0xffffffff, gid: 0xffffffff }

/** The process that a pidfd refers to. */
const pidOf = ({ fd }: { fd: number }): number =>
  Number(/^Pid:\s*(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1])

describe('the peer', () => {
  test.each(links)('70, 72, 73: of a pair is this process, of %s', (_, options) => {
    const [a, b] = newPair(options)
    expect([a.peer, a.peer, b.peer]).toEqual([self, self, self])
  })

  test.each(['stream', 'seqpacket'] as const)(
    '69, 71: of a connection is who connected, and who listened, of %s',
    async (type) => {
      const path = `${newFolder()}/socket`
      const listener = own(listen(path, { type }))
      const client = own(await FdSocket.connect(path, { type }))
      const server = await accepted(listener)
      expect([client.peer, server.peer]).toEqual([self, self])
    },
  )

  test('74, 75: of a datagram socket with a name is nobody, connected or not', async () => {
    const folder = newFolder()
    const bound = own(FdSocket.bound(`${folder}/a`))
    const connected = own(await FdSocket.connect(`${folder}/a`, { type: 'dgram', localName: `${folder}/b` }))
    expect([bound.peer, connected.peer]).toEqual([nobody, nobody])
    expect(codeOf(() => bound.peerPidfd())).toBe('ENODATA')
  })

  test('B1.17: is another process, by number and by pidfd, which outlives it', async () => {
    const path = `${newFolder()}/socket`
    const listener = own(listen(path))
    const child = python(
      `c = socket.socket(socket.AF_UNIX)
c.connect(${JSON.stringify(path)})
c.recv(1)
print_json(os.getpid())`,
    )
    const server = await accepted(listener)
    const pidfd = own(server.peerPidfd())
    const { pid } = server.peer
    expect(pidfd.kind).toBe('pidfd')
    expect(pidOf(pidfd)).toBe(pid)
    server.close()
    expect(await child).toBe(pid)
    await expect.poll(() => pidOf(pidfd)).toBe(-1)
  })
})

describe('credentials', () => {
  test.each(links)('B1.16, 91: come with each message, of %s', (_, options) => {
    const [a, b] = newPair({ ...options, credentials: true })
    a.sendSync('one')
    a.sendSync('two', undefined, { credentials: self })
    if (options.framed === false) {
      expect(received(b)).toMatchObject({ data: Buffer.from('onetwo'), credentials: self })
    } else {
      expect(received(b)).toMatchObject({ data: Buffer.from('one'), credentials: self })
      expect(received(b)).toMatchObject({ data: Buffer.from('two'), credentials: self })
    }
  })

  test.each(links)('92: and descriptors come with the same message, of %s', (_, options) => {
    const [a, b] = newPair({ ...options, credentials: true })
    a.sendSync('x', [newFile('file')], { credentials: self })
    const message = received(b)
    expect(message.credentials).toEqual(self)
    expect(textsOf(message)).toEqual(['file'])
  })

  test.each(links)('are not there when they are not asked for, of %s', (_, options) => {
    const [a, b] = newPair(options)
    a.sendSync('x', undefined, { credentials: self })
    const message = received(b)
    expect([message.credentials, message.pidfd]).toEqual([undefined, undefined])
  })

  test.runIf(isRoot).each(links)(
    'B1.16: of another process that is there may be said with privileges (skipped without), of %s',
    async (_, options) => {
      const [a, b] = newPair({ ...options, credentials: true })
      const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] })
      own({ [Symbol.dispose]: () => child.kill() })
      const other = { pid: child.pid!, uid: 1234, gid: 4321 }
      a.sendSync('x', undefined, { credentials: other })
      expect(received(b).credentials).toEqual(other)
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
      expect(
        codeOf(() => {
          a.sendSync('x', [newFile()], { credentials: other })
        }),
      ).toBe('ESRCH')
      expect(isQuiet(b)).toBe(true)
    },
  )

  test('B1.16: of another process or user is EPERM without privileges, and nothing goes', async () => {
    const outcome = await program(
      `const [a, b] = FdSocket.pair({ type: 'seqpacket', credentials: true })
      const own = { pid: process.pid, uid: process.getuid(), gid: process.getgid() }
      const say = (change) => codeOf(() => a.sendSync('x', [0], { credentials: { ...own, ...change } }))
      const codes = [await say({ pid: process.ppid }), await say({ uid: 0 }), await say({ gid: 0 })]
      const quiet = await codeOf(() => b.recv({ timeout: 0 }))
      codes.push(await say({}))
      const { credentials, fdCount } = await b.recv()
      assert.deepEqual(credentials, own)
      print([...codes, quiet, fdCount])`,
      { through: unprivileged() },
    )
    expect(outcome).toEqual(['EPERM', 'EPERM', 'EPERM', 'none', 'ETIMEDOUT', 1])
  })

  test('B1.16: say who sent, though who connected was another', async () => {
    const [a, b] = newPair({ type: 'seqpacket', credentials: true })
    const child = python(`s.send(b'x'); print_json(os.getpid())`, { sockets: [a] })
    const message = await next(b)
    const pid = await child
    expect([b.peer.pid, message.credentials?.pid]).toEqual([process.pid, pid])
  })
})

describe('a pidfd', () => {
  test.each(links.slice(1))(
    'B1.17: comes with each message, and refers to its sender, of %s',
    async (_, options) => {
      const [a, b] = newPair({ ...options, pidfd: true, credentials: true })
      a.sendSync('mine', [newFile('file')])
      const mine = received(b)
      expect(mine.pidfd?.kind).toBe('pidfd')
      expect([pidOf(mine.pidfd!), textsOf(mine)]).toEqual([process.pid, ['file']])
      const child = python(`s.send(b'theirs'); print_json(os.getpid()); s.close()`, { sockets: [a] })
      const theirs = await next(b)
      expect(theirs.credentials?.pid).toBe(await child)
      const pidfd = theirs.pidfd!
      await expect.poll(() => pidOf(pidfd)).toBe(-1)
      theirs.close()
      expect(pidfd.fd).toBe(-1)
    },
  )

  test('B1.17: is closed with a message that is refused or truncated', () => {
    const [a, b] = newPair({ type: 'seqpacket', pidfd: true, maxFds: 0, maxBytes: 4 })
    const file = newFile()
    a.sendSync('fds', [file])
    a.sendSync('longer')
    a.sendSync('good')
    const before = binding.ownedCount()
    expect(codeOf(() => b.recvSync())).toBe('EACCES')
    expect(codeOf(() => b.recvSync())).toBe('EMSGSIZE')
    expect(binding.ownedCount()).toBe(before)
    expect(received(b).pidfd?.kind).toBe('pidfd')
    expect(binding.ownedCount()).toBe(before + 1)
  })

  test('B1.17: that frames bring, because the maker of the socket asked for it, is closed', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const child = python(
      `here, there = socket.socketpair()
there.setsockopt(socket.SOL_SOCKET, 76, 1)
for i in range(10):
    here.send(b'xfd\\x01' + struct.pack('<III', 1, 0, 0) + b'x')
    here.send(b'xfd\\x01' + struct.pack('<III', 2, 0, 0) + b'xy')
socket.send_fds(s, [b'end'], [there.fileno()])
there.close()
here.recv(1)
print_json('done')`,
      { sockets: [a] },
    )
    const framed = own(FdSocket.from(claimed(await next(b))))
    const before = binding.ownedCount()
    for (let i = 0; i < 20; i++) {
      const message = received(framed)
      expect([message.pidfd, message.data.length]).toEqual([undefined, (i % 2) + 1])
    }
    expect(binding.ownedCount()).toBe(before)
    framed.close()
    expect(await child).toBe('done')
  })
})
