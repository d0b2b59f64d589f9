import { describe, expect, test } from 'vitest'
import { FdSocket, listen } from '../src/index.ts'
import type { SocketOptions } from '../src/index.ts'
import { manyFiles, newFile, newFiles, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { codeOf, isQuiet, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { python } from './fixtures/program.ts'

/** What Python's socket.send_fds and recv_fds can speak. */
const foreign: [string, SocketOptions][] = [
  ['a raw stream', { framed: false }],
  ['seqpacket', { type: 'seqpacket' }],
  ['datagrams', { type: 'dgram' }],
]

/** Files in Python that begin with their numbers. */
const files = `
def files(count):
    made = [os.memfd_create('file') for i in range(count)]
    for i, fd in enumerate(made):
        os.write(fd, str(i).encode())
    return made
def rights(*arrays):
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', numbers)) for numbers in arrays]
`

const collected = async (socket: FdSocket, count: number): Promise<[string, string[]][]> => {
  const all: [string, string[]][] = []
  for (let i = 0; i < count; i++) {
    const message = await next(socket)
    all.push([message.data.toString(), textsOf(message)])
  }
  return all
}

describe.each(foreign)('Python, by %s', (_, options) => {
  test('1, 2, 19, 40: what socket.send_fds sends is received, to 253 at once', async () => {
    const [a, b] = newPair(options)
    const child = python(
      `${files}
for count in (1, 2, 3, 10, 253):
    socket.send_fds(s, [b'bytes ', b'and more'], files(count))
    s.recv(1)
print_json('sent')`,
      { sockets: [b] },
    )
    for (const count of [1, 2, 3, 10, 253]) {
      const [message] = await collected(a, 1)
      expect(message).toEqual(['bytes and more', Array.from({ length: count }, (_, index) => String(index))])
      a.sendSync('x')
    }
    expect(await child).toBe('sent')
  })

  test('1, 2, 19: what is sent is received by socket.recv_fds, to 253 at once', async () => {
    const [a, b] = newPair(options)
    const child = python(
      `got = []
for count in (1, 2, 3, 10, 253):
    data, fds, flags, address = socket.recv_fds(s, 100, 253)
    got.append([data.decode(), [os.pread(fd, 10, 0).decode() for fd in fds], flags & socket.MSG_CTRUNC])
    for fd in fds:
        os.close(fd)
    s.send(b'x')
print_json(got)`,
      { sockets: [b] },
    )
    for (const count of [1, 2, 3, 10, 253]) {
      a.sendSync('bytes', manyFiles(count))
      await next(a)
    }
    expect(await child).toEqual(
      [1, 2, 3, 10, 253].map((count) => [
        'bytes',
        Array.from({ length: count }, (_, index) => String(index)),
        0,
      ]),
    )
  })

  test('B1.1, 5: several arrays of one message come as one, in order', async () => {
    const [a, b] = newPair(options)
    const child = python(
      `${files}
all = files(5)
s.sendmsg([b'x'], rights(all[:2], all[2:]))
many = [0] * 200
print_json([errno_of(lambda: s.sendmsg([b'x'], rights(many, many[:100]))), errno_of(lambda: s.sendmsg([b'x'], rights(many + many[:54])))])`,
      { sockets: [b] },
    )
    expect(await collected(a, 1)).toEqual([['x', ['0', '1', '2', '3', '4']]])
    expect(await child).toEqual(['EINVAL', 'EINVAL'])
    if (options.type === 'dgram') expect(isQuiet(a)).toBe(true)
    else expect(await a.recv()).toBe(null)
  })

  test('7, 8, 9: arrays that are empty, or end in the middle of a number, bring the numbers that are whole', async () => {
    const [a, b] = newPair(options)
    const child = python(
      `${files}
def send(*parts):
    try:
        s.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, part) for part in parts])
    except OSError:
        s.sendmsg([b'x'])
    s.recv(1)
one, two = [struct.pack('i', fd) for fd in files(2)]
send(b'')
send(one + two[:3])
send(one[:3])
send(one + b'x', two)
print_json('sent')`,
      { sockets: [b] },
    )
    for (const texts of [[], ['0'], [], ['0', '1']]) {
      expect(await collected(a, 1)).toEqual([['x', texts]])
      expect(isQuiet(a)).toBe(true)
      a.sendSync('x')
    }
    expect(await child).toBe('sent')
  })

  test('91, 92: credentials that it says, beside descriptors, are told', async () => {
    const [a, b] = newPair({ ...options, credentials: true })
    const child = python(
      `${files}
mine = struct.pack('iII', os.getpid(), os.getuid(), os.getgid())
credentials = (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, mine)
s.sendmsg([b'x'], rights(files(3)) + [credentials])
print_json([os.getpid(), os.getuid(), os.getgid()])`,
      { sockets: [b] },
    )
    const message = await next(a)
    const [pid, uid, gid] = (await child) as [number, number, number]
    expect(message.credentials).toEqual({ pid, uid, gid })
    expect(textsOf(message)).toEqual(['0', '1', '2'])
  })

  test('54, 56: that has no room for all gets those that fit, and the next message is right', async () => {
    const [a, b] = newPair(options)
    const child = python(
      `def receive(count):
    data, fds, flags, address = socket.recv_fds(s, 100, count)
    texts = [os.pread(fd, 10, 0).decode() for fd in fds]
    for fd in fds:
        os.close(fd)
    s.send(b'x')
    return [data.decode(), texts, bool(flags & socket.MSG_CTRUNC)]
print_json([receive(2), receive(4)])`,
      { sockets: [b] },
    )
    a.sendSync('four', newFiles('1', '2', '3', '4'))
    await next(a)
    a.sendSync('two', newFiles('5', '6'))
    await next(a)
    expect(await child).toEqual([
      ['four', ['1', '2'], true],
      ['two', ['5', '6'], false],
    ])
  })
})

describe('Python', () => {
  test('B1.3: descriptors that it sends without bytes by a stream vanish in the kernel; nothing comes, and nothing is left', async () => {
    const [a, b] = newPair({ framed: false })
    const child = python(
      `r, w = os.pipe()
sent = socket.send_fds(s, [b''], [w])
os.close(w)
gone = os.read(r, 1) == b''
s.send(b'x')
print_json([sent, gone])`,
      { sockets: [b] },
    )
    const message = await next(a)
    expect([message.data.toString(), message.fdCount]).toEqual(['x', 0])
    expect(await child).toEqual([0, true])
  })

  test.each(['stream', 'seqpacket'] as const)(
    'connects to a listener of ours, and listens for us, by %s',
    async (type) => {
      const folder = newFolder()
      const options: SocketOptions = type === 'stream' ? { type, framed: false } : { type }
      const listener = own(listen(`${folder}/ours`, options))
      const child = python(
        `kind = socket.SOCK_${type.toUpperCase()}
l = socket.socket(socket.AF_UNIX, kind)
l.bind(${JSON.stringify(folder)} + '/theirs')
l.listen()
c = socket.socket(socket.AF_UNIX, kind)
c.connect(${JSON.stringify(folder)} + '/ours')
data, fds, flags, address = socket.recv_fds(c, 100, 1)
t, address = l.accept()
socket.send_fds(t, [b'back'], fds)
print_json(data.decode())`,
      )
      const server = own(await listener.accept())
      server.sendSync('there', [newFile('round')])
      const client = own(await FdSocket.connect(`${folder}/theirs`, options))
      expect(await collected(client, 1)).toEqual([['back', ['round']]])
      expect(await child).toBe('there')
    },
  )

  test('a stream of its own that is taken for frames is EPROTO', async () => {
    const [a, b] = newPair()
    const child = python(`socket.send_fds(s, [b'not a frame at all'], [0]); print_json('sent')`, {
      sockets: [b],
    })
    const { code, message } = await rejection(a.recv())
    expect(code).toBe('EPROTO')
    expect(message).toContain('framed: false')
    expect(codeOf(() => a.recvSync())).toBe('EPROTO')
    expect(await child).toBe('sent')
  })

  test('datagrams are answered to the address that they come from', async () => {
    const folder = newFolder()
    const bound = own(FdSocket.bound(`${folder}/ours`))
    const child = python(
      `${files}
d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
d.bind(${JSON.stringify(folder)} + '/theirs')
d.sendmsg([b'question'], rights([0]), 0, ${JSON.stringify(folder)} + '/ours')
data, fds, flags, address = socket.recv_fds(d, 100, 1)
print_json([data.decode(), len(fds), address])`,
    )
    const question = await next(bound)
    expect([question.data.toString(), question.fdCount, question.from]).toEqual([
      'question',
      1,
      `${folder}/theirs`,
    ])
    bound.sendSync('answer', question.fds, { to: question.from })
    expect(await child).toEqual(['answer', 1, `${folder}/ours`])
    expect(() => received(bound)).toThrow('ETIMEDOUT')
  })
})
