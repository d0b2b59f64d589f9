import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fd, FdPassError, FdSocket, listen, type Message, type SocketType } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { openCount } from './fixtures/descriptors.ts'
import { openFile, ownFile } from './fixtures/files.ts'
import { codeOf, until } from './fixtures/outcomes.ts'
import { newPair } from './fixtures/sockets.ts'
import { script } from './fixtures/script.ts'

const types: SocketType[] = ['stream', 'seqpacket', 'dgram']
const big = Buffer.alloc(60_000, 'b')

const received = (message: Message | null): Message => {
  if (message === null) throw new Error('the peer has ended')
  return own(message)
}

/** Receives so many messages. */
const drop = async (socket: FdSocket, count: number): Promise<void> => {
  for (let n = 0; n < count; n++) received(await socket.recv())
}

/** Sends until the socket has no room: the promises of what waits. */
const fill = (socket: FdSocket, data: Buffer = big): Promise<void>[] => {
  const waiting: Promise<void>[] = []
  while (socket.queuedBytes === 0) waiting.push(socket.send(data))
  return waiting
}

describe.each(types)('a message over %s', (type) => {
  test('arrives with its bytes and its descriptors, in order', async () => {
    const [a, b] = newPair({ type })
    const folder = newFolder()
    const files = ['one', 'two', 'three'].map((text) => {
      writeFileSync(join(folder, text), text)
      return openFile(join(folder, text))
    })
    await a.send('hello', files)
    const message = received(await b.recv())
    expect(message.data.toString()).toBe('hello')
    expect(message.fds.map((fd) => readFileSync(fd.fd, 'utf8'))).toEqual(['one', 'two', 'three'])
  })

  test('may be a string, bytes, or several of these', async () => {
    const [a, b] = newPair({ type })
    await a.send('ä')
    await a.send(new Uint8Array([1, 2]))
    await a.send([Buffer.from('a'), Buffer.from('b')])
    const all = [await b.recv(), await b.recv(), await b.recv()].map((message) => received(message).data)
    expect(all).toEqual([Buffer.from('ä'), Buffer.from([1, 2]), Buffer.from('ab')])
  })

  test('is waited for in the event loop, or by the thread', async () => {
    const [a, b] = newPair({ type })
    const waiting = b.recv()
    await a.send('first')
    expect(received(await waiting).data.toString()).toBe('first')
    a.sendSync('second')
    expect(received(b.recvSync()).data.toString()).toBe('second')
  })

  test('30: that is not there yet is ETIMEDOUT, at once or at the deadline', async () => {
    const [, b] = newPair({ type })
    expect(await codeOf(() => b.recv({ timeout: 0 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => b.recv({ timeout: 5 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => b.recvSync({ timeout: 0 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => b.recvSync({ timeout: 5 }))).toBe('ETIMEDOUT')
  })

  test('waits for room, and all arrive in the order of the calls', async () => {
    const [a, b] = newPair({ type })
    const sent = fill(a)
    sent.push(a.send('last'))
    for (let n = 1; n < sent.length; n++) expect(received(await b.recv()).data).toEqual(big)
    expect(received(await b.recv()).data.toString()).toBe('last')
    await Promise.all(sent)
    expect(a.queuedBytes).toBe(0)
  })

  test('sent by the thread goes after what waits', async () => {
    const [a, b] = newPair({ type })
    const before = fill(a)
    expect(
      await codeOf(() => {
        a.sendSync('late', [], { timeout: 5 })
      }),
    ).toBe('ETIMEDOUT')
    await drop(b, before.length)
    await Promise.all(before)
    a.sendSync('late')
    expect(received(b.recvSync()).data.toString()).toBe('late')
  })

  test('that waits keeps its descriptors: they may be closed, and their numbers be other files', async () => {
    const [a, b] = newPair({ type })
    const folder = newFolder()
    writeFileSync(join(folder, 'file'), 'right')
    const waiting = fill(a)
    const fd = ownFile(join(folder, 'file'))
    const sent = a.send('x', [fd])
    const number = fd.fd
    fd.close()
    while (openFile('/dev/zero') < number);
    await drop(b, waiting.length)
    const message = received(await b.recv())
    await sent
    expect(readFileSync(message.fds[0]!.fd, 'utf8')).toBe('right')
  })

  test('that is given up before it was begun was not sent', async () => {
    const [a, b] = newPair({ type })
    const first = await fillExactly(a)
    const controller = new AbortController()
    const before = openCount()
    const sent = a.send('never', [openFile()], { signal: controller.signal })
    const timed = a.send('neither', [a], { timeout: 1 })
    controller.abort(new Error('enough'))
    await expect(sent).rejects.toThrow('enough')
    expect(await codeOf(() => timed)).toBe('ETIMEDOUT')
    expect(openCount()).toBe(before + 1) // the file's own
    await drop(b, first)
    await a.send('next')
    expect(received(await b.recv()).data.toString()).toBe('next')
  })
})

/** Sends messages of one packet each until there is no room, and gives up the one that waits. */
const fillExactly = async (socket: FdSocket): Promise<number> => {
  for (let sent = 0; ; sent++) {
    try {
      await socket.send('x'.repeat(socket.type === 'stream' ? 1 : 1000), [], { timeout: 0 })
    } catch {
      return sent
    }
  }
}

describe('recv', () => {
  test('serves calls in turn', async () => {
    const [a, b] = newPair()
    const waiting = [b.recv(), b.recv(), b.recv()]
    for (const text of ['1', '2', '3']) await a.send(text)
    const texts = (await Promise.all(waiting)).map((message) => received(message).data.toString())
    expect(texts).toEqual(['1', '2', '3'])
  })

  test('that is given up leaves the message to the next', async () => {
    const [a, b] = newPair()
    const controller = new AbortController()
    const first = b.recv({ signal: controller.signal })
    const second = b.recv()
    controller.abort(new Error('enough'))
    await expect(first).rejects.toThrow('enough')
    await a.send('for the second')
    expect(received(await second).data.toString()).toBe('for the second')
    await expect(b.recv({ signal: AbortSignal.abort('before') })).rejects.toBe('before')
  })

  test('41: null is the end, again and again', async () => {
    for (const type of ['stream', 'seqpacket'] as const) {
      const [a, b] = newPair({ type })
      a.close()
      expect(await b.recv()).toBeNull()
      expect(await b.recv()).toBeNull()
      expect(b.recvSync()).toBeNull()
    }
  })

  test('by the thread is EBUSY while another waits', async () => {
    const [a, b] = newPair()
    const waiting = b.recv()
    expect(await codeOf(() => b.recvSync())).toBe('EBUSY')
    await a.send('x')
    received(await waiting)
  })

  test('messages are iterated until the end', async () => {
    const [a, b] = newPair()
    const texts: string[] = []
    const reader = (async () => {
      for await (using message of b) texts.push(message.data.toString())
    })()
    for (const text of ['a', 'b', 'c']) await a.send(text)
    await a.end()
    await reader
    expect(texts).toEqual(['a', 'b', 'c'])
  })

  test('an iteration that is left takes no message with it', async () => {
    const [a, b] = newPair()
    for (const text of ['a', 'b']) await a.send(text)
    for await (using message of b) {
      expect(message.data.toString()).toBe('a')
      break
    }
    expect(received(await b.recv()).data.toString()).toBe('b')
  })

  test('a message of many times the buffer arrives whole', async () => {
    const [a, b] = newPair({ maxBytes: 8_000_000 })
    const data = Buffer.alloc(8_000_000, 'abcdefg')
    const sent = a.send(data, [openFile()])
    const message = received(await b.recv())
    await sent
    expect(message.data.equals(data)).toBe(true)
    expect(message.fdCount).toBe(1)
  })
})

describe('end', () => {
  test('84: is half a close: what was sent arrives, and the other direction goes on', async () => {
    const [a, b] = newPair()
    const sent = fill(a)
    const ended = a.end()
    await drop(b, sent.length)
    await ended
    expect(await b.recv()).toBeNull()
    await b.send('still here')
    expect(received(await a.recv()).data.toString()).toBe('still here')
    expect(await codeOf(() => a.send('x'))).toBe('EPIPE')
  })

  test('can be given up, and nothing is ended then', async () => {
    const [a, b] = newPair()
    const sent = fill(a)
    expect(await codeOf(() => a.end({ timeout: 1 }))).toBe('ETIMEDOUT')
    await drop(b, sent.length)
    await a.send('on')
    expect(received(await b.recv()).data.toString()).toBe('on')
  })
})

describe('a stream message that is given up half-way', () => {
  test('ends the stream: its peer is told, and later messages are EPIPE', async () => {
    const [a, b] = newPair({ maxBytes: 8_000_000 })
    const before = openCount()
    expect(await codeOf(() => a.send(Buffer.alloc(8_000_000), [a], { timeout: 5 }))).toBe('ETIMEDOUT')
    expect(await codeOf(() => a.send('next'))).toBe('EPIPE')
    await expect(b.recv()).rejects.toThrow(/EPROTO.*ended inside of a frame/)
    expect(openCount()).toBe(before)
    await b.send('back')
    expect(received(await a.recv()).data.toString()).toBe('back')
  })
})

describe('close', () => {
  test('28, 37: everything afterwards is EBADF, and closing twice is fine', async () => {
    const [a] = newPair()
    a.close()
    a.close()
    expect(a.fd).toBe(-1)
    for (const call of [
      () => a.send('x'),
      () => {
        a.sendSync('x')
      },
      () => a.recv(),
      () => a.recvSync(),
      () => a.end(),
      () => a.take(),
      () => a.peer,
      () => a.peerName,
      () => a.unreceived,
    ]) {
      expect(await codeOf(call)).toBe('EBADF')
    }
  })

  test('ends what waits, and holds nothing back', async () => {
    const before = openCount()
    const [a, b] = newPair()
    const waiting = [b.recv(), b.recv(), ...fill(a), a.send('x', [openFile(), openFile()])]
    const codes = waiting.map((promise) => codeOf(() => promise))
    received((await b.recv({ timeout: 0 }).catch(() => null)) ?? ((await waiting[0]) as Message))
    a.close()
    b.close()
    expect(new Set(await Promise.all(codes))).toEqual(new Set(['no error', 'EBADF']))
    expect(openCount()).toBeLessThanOrEqual(before + 3) // two files, and the loop's own poller
  })

  test('a peer whose message was not read is told', async () => {
    const [a, b] = newPair({ framed: false })
    await a.send('unread')
    b.close()
    expect(await codeOf(() => a.recv())).toBe('ECONNRESET')
    expect(await codeOf(() => a.send('x'))).toBe('EPIPE')
  })
})

describe('take', () => {
  test('gives the number away, and from() takes it', async () => {
    const [a, b] = newPair()
    const number = a.take()
    expect(a.fd).toBe(-1)
    const again = own(FdSocket.from(number))
    expect([again.type, again.framed, again.fd]).toEqual(['stream', true, number])
    await again.send('x')
    received(await b.recv())
  })

  test('is EBUSY while a call waits, and while it has read ahead', async () => {
    const [a, b] = newPair()
    const waiting = b.recv()
    expect(await codeOf(() => b.take())).toBe('EBUSY')
    await Promise.all([a.send('one'), a.send('two')])
    received(await waiting)
    expect(await codeOf(() => b.take())).toBe('EBUSY')
    received(await b.recv())
    own(Fd.from(b.take()))
  })
})

describe('from', () => {
  test('takes what is a Unix socket, and leaves the rest as it was', async () => {
    const file = openFile()
    expect(await codeOf(() => FdSocket.from(file))).toBe('ENOTSOCK')
    expect(await codeOf(() => FdSocket.from(1 << 20))).toBe('EBADF')
    expect(await codeOf(() => FdSocket.from(-1))).toBe('EBADF')
    const fd = ownFile()
    expect(await codeOf(() => FdSocket.from(fd))).toBe('ENOTSOCK')
    expect(fd.kind).toBe('character-device')
    const listener = own(listen(join(newFolder(), 's')))
    const copy = own(Fd.from(listener.take()))
    expect(await codeOf(() => FdSocket.from(copy))).toBe('EINVAL')
    expect(copy.kind).toBe('unix-stream-listener')
  })

  test('finds out the type', () => {
    for (const type of types) {
      const [a] = newPair({ type })
      expect(own(FdSocket.from(a.take())).type).toBe(type)
    }
  })

  test('a descriptor has one owner', async () => {
    const [a] = newPair()
    expect(await codeOf(() => FdSocket.from(a.fd))).toBe('EBUSY')
    expect(await codeOf(() => Fd.from(a.fd))).toBe('EBUSY')
  })
})

describe('options', () => {
  test.each([
    [{ typ: 'stream' }],
    [{ type: 'raw' }],
    [{ type: 'seqpacket', framed: true }],
    [{ framed: true, pidfd: true }],
    [{ framed: 'yes' }],
    [{ maxFds: -1 }],
    [{ maxFds: 1.5 }],
    [{ framed: false, maxFds: 254 }],
    [{ maxBytes: '5' }],
    [{ sendBuffer: -1 }],
  ])('%j is EINVAL', async (options) => {
    const before = openCount()
    expect(await codeOf(() => FdSocket.pair(options as never))).toBe('EINVAL')
    expect(openCount()).toBe(before)
  })

  test.each([
    [{ timeout: -1 }],
    [{ timeout: 'soon' }],
    [{ signal: {} }],
    [{ deadline: 5 }],
    [{ to: '/x' }],
    [{ move: true }],
  ])('send with %j is EINVAL, and nothing goes', async (options) => {
    const [a, b] = newPair()
    expect(await codeOf(() => a.send('x', [openFile()], options as never))).toBe('EINVAL')
    expect(await codeOf(() => b.recv({ timeout: 0 }))).toBe('ETIMEDOUT')
  })

  test('sendBuffer decides how long a packet may be', async () => {
    const [a, b] = newPair({ type: 'seqpacket', sendBuffer: 4096 })
    const [c, d] = newPair({ type: 'seqpacket', sendBuffer: 1 << 20, maxBytes: 1 << 20 })
    expect(await codeOf(() => a.send(Buffer.alloc(100_000)))).toBe('EMSGSIZE')
    await a.send('still fine')
    received(await b.recv())
    await c.send(Buffer.alloc(400_000))
    expect(received(await d.recv()).data.length).toBe(400_000)
  })

  test('move closes what was sent, and nothing that was not', async () => {
    const [a, b] = newPair()
    const fd = ownFile()
    await a.send('x', [fd], { move: true })
    expect(fd.fd).toBe(-1)
    received(await b.recv())
    b.close()
    const other = ownFile()
    expect(await codeOf(() => a.send('x', [other], { move: true }))).toBe('EPIPE')
    expect(other.kind).toBe('character-device')
  })
})

describe('errors', () => {
  test('have code, errno and syscall, and say what to do', async () => {
    const error: unknown = await FdSocket.connect('/nowhere/at/all').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(FdPassError)
    expect(error).toMatchObject({ code: 'ENOENT', errno: -2, syscall: 'connect', name: 'FdPassError' })
    expect((error as Error).message).toMatch(
      /connect: ENOENT, no such file or directory \(.*is the server running/,
    )
  })

  test('are known to other copies of the package', () => {
    const foreign = Object.assign(new Error('x'), { [Symbol.for('@x/fdpass.FdPassError')]: true })
    expect(foreign).toBeInstanceOf(FdPassError)
    expect(new Error('x')).not.toBeInstanceOf(FdPassError)
  })
})

describe('peer', () => {
  test('is the process at the other end', () => {
    const [a] = newPair()
    expect(a.peer).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() })
    expect(own(a.peerPidfd()).kind).toBe('pidfd')
  })

  test('unreceived counts until the peer has received', async () => {
    const [a, b] = newPair()
    expect(a.unreceived).toBe(0)
    await a.send('x')
    expect(a.unreceived).toBeGreaterThan(0)
    received(await b.recv())
    await until(() => a.unreceived === 0)
  })
})

test('a message that has to wait and cannot be kept is EMFILE; one that was begun ends the stream', async () => {
  const { output } = await script(
    `const [a, b] = FdSocket.pair({ sendBuffer: 4608, maxFds: 8000 })
    const file = Fd.open('/dev/null', 0)
    const code = (promise) => promise.then(() => 'sent', (error) => error.code)
    console.log(await code(a.send('half of them', Array(7000).fill(file))), await code(a.send('next')))
    console.log(await code(b.recv()))
    const [c, d] = FdSocket.pair({ type: 'seqpacket' })
    const kept = []
    while (c.queuedBytes === 0) kept.push(code(c.send('x'.repeat(1000), [file])))
    const before = countOpen()
    const codes = []
    while (codes.at(-1) !== 'EMFILE') codes.push(await Promise.race([code(c.send('x', Array(250).fill(file))), new Promise((resolve) => setTimeout(resolve, 5, 'waits'))]))
    c.close(); d.close()
    console.log(new Set(codes))`,
    { descriptors: 400 },
  )
  expect(output.split('\n')).toEqual(['EMFILE EPIPE', 'EPROTO', "Set(2) { 'waits', 'EMFILE' }"])
})

describe('39: recv with peek', () => {
  test.each([{ type: 'stream', framed: false }, { type: 'seqpacket' }, { type: 'dgram' }] as const)(
    'leaves the message of %j where it is, with descriptors that are new each time',
    async (options) => {
      const [a, b] = newPair(options)
      await a.send('look', [a])
      const looks = [await b.recv({ peek: true }), b.recvSync({ peek: true }), await b.recv()].map(received)
      expect(looks.map((message) => message.data.toString())).toEqual(['look', 'look', 'look'])
      expect(new Set(looks.map((message) => message.fds[0]!.fd)).size).toBe(3)
      expect(new Set(looks.map((message) => message.fds[0]!.stat().ino)).size).toBe(1)
      const waiting = b.recv({ peek: true })
      await a.send('next')
      expect(received(await waiting).data.toString()).toBe('next')
      expect(received(b.recvSync()).data.toString()).toBe('next')
    },
  )

  test('is EINVAL of frames, which are read ahead', async () => {
    const [, b] = newPair()
    expect(await codeOf(() => b.recv({ peek: true }))).toBe('EINVAL')
    expect(await codeOf(() => b.recvSync({ peek: 1 as never }))).toBe('EINVAL')
  })
})

describe('what a message cannot be', () => {
  test('several groups of descriptors with a bad one in the last: EBADF, and nothing was sent', async () => {
    const [a, b] = newPair()
    const file = openFile()
    expect(await codeOf(() => a.send('x', [...Array.from({ length: 253 }, () => file), 99_999]))).toBe(
      'EBADF',
    )
    await a.send('next')
    expect(received(await b.recv()).data.toString()).toBe('next')
  })

  test('bytes that were transferred while it waits: EINVAL, and the stream ends', async () => {
    const [a, b] = newPair({ maxBytes: 8_000_000 })
    const data = new Uint8Array(8_000_000)
    const sent = codeOf(() => a.send(data))
    structuredClone(data, { transfer: [data.buffer] })
    const end = codeOf(() => b.recv())
    expect(await sent).toBe('EINVAL')
    expect(await end).toBe('EPROTO')
  })

  test.each([
    {},
    { pid: 1 },
    { pid: 1, uid: 2 ** 32, gid: 0 },
    { pid: 1, uid: '7', gid: 0 },
    { pid: 1, uid: 0, gid: 5.7 },
  ])('credentials %j: EINVAL', async (credentials) => {
    const [a] = newPair({ type: 'seqpacket' })
    expect(await codeOf(() => a.send('x', [], { credentials: credentials as never }))).toBe('EINVAL')
  })
})

test('those behind a message that is given up half-way do not wait for ever', async () => {
  const [a] = newPair({ maxBytes: 8_000_000 })
  const controller = new AbortController()
  const first = codeOf(() => a.send(Buffer.alloc(8_000_000), [], { signal: controller.signal }))
  const second = codeOf(() => a.send('second'))
  controller.abort(Object.assign(new Error(), { code: 'given up' }))
  const third = codeOf(() => a.send('third'))
  expect(await Promise.all([first, second, third])).toEqual(['given up', 'EPIPE', 'EPIPE'])
})

test('what is sent after end() is EPIPE, and the end is a clean one', async () => {
  const [a, b] = newPair()
  const waiting = fill(a)
  const ended = a.end()
  const late = codeOf(() => a.send('late'))
  await drop(b, waiting.length)
  await ended
  expect(await late).toBe('EPIPE')
  expect(await b.recv()).toBeNull()
})

test('78: empty packets of a foreign peer are none of them the end', async () => {
  const [a, b] = newPair({ type: 'seqpacket' })
  execFileSync(
    'python3',
    ['-c', `import socket; s = socket.socket(fileno=3); [s.send(x) for x in (b'', b'', b'data')]`],
    {
      stdio: ['ignore', 'inherit', 'inherit', a.fd],
    },
  )
  a.close()
  const texts = [await b.recv(), await b.recv(), await b.recv()].map((message) =>
    received(message).data.toString(),
  )
  expect(texts).toEqual(['', '', 'data'])
  expect(await b.recv()).toBeNull()
})

test('a datagram’s sender may have a path that fills its address', async () => {
  const folder = newFolder()
  const server = own(FdSocket.bound(join(folder, 'server')))
  const name = join(folder, 'n'.repeat(108 - folder.length - 1))
  execFileSync('python3', [
    '-c',
    `import ctypes, socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
address = struct.pack('H', socket.AF_UNIX) + sys.argv[1].encode()
assert ctypes.CDLL(None).bind(s.fileno(), address, len(address)) == 0
s.connect(sys.argv[2])
socket.send_fds(s, [b'x'], [0])`,
    name,
    join(folder, 'server'),
  ])
  const message = received(await server.recv())
  expect([message.from, message.fdCount]).toEqual([name, 1])
})

test('recv with a timeout does not keep a process that has called unref', async () => {
  expect(
    await script(`const [a] = FdSocket.pair(); a.unref(); a.recv({ timeout: 15000 }).catch(() => {})`),
  ).toMatchObject({ code: 0, signal: null })
})
