import { expect, test } from 'vitest'
import { binding } from '../src/binding.ts'
import { Fd } from '../src/index.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { claimed, codeOf, isQuiet, links, newPair, next } from './fixtures/sockets.ts'
import { python } from './fixtures/program.ts'

/** A descriptor of every kind, in Python; each is the value of its kind. */
const all = (folder: string): string => `
libc = ctypes.CDLL(None, use_errno=True)
def listening(family, kind, address):
    t = socket.socket(family, kind)
    t.bind(address)
    t.listen()
    return t
folder = ${JSON.stringify(folder)}
os.mkfifo(folder + '/fifo')
tcp = listening(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', 0))
stream, seqpacket, dgram = [socket.socketpair(type=kind)[0] for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM)]
kinds = {
    'file': open(folder + '/file', 'w+'),
    'memfd': os.memfd_create('memory'),
    'directory': os.open(folder, os.O_RDONLY),
    'character-device': open('/dev/null'),
    'tty': os.openpty()[1],
    'pipe': os.pipe()[0],
    'fifo': os.open(folder + '/fifo', os.O_RDWR),
    'path': os.open(folder + '/file', os.O_PATH),
    'tcp': socket.create_connection(tcp.getsockname()),
    'tcp-listener': tcp,
    'udp': socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    'unix-stream': stream,
    'unix-stream-listener': listening(socket.AF_UNIX, socket.SOCK_STREAM, folder + '/stream'),
    'unix-seqpacket': seqpacket,
    'unix-seqpacket-listener': listening(socket.AF_UNIX, socket.SOCK_SEQPACKET, folder + '/seqpacket'),
    'unix-dgram': dgram,
    'socket': socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    'eventfd': os.eventfd(0),
    'epoll': select.epoll(),
    'timerfd': libc.timerfd_create(1, 0),
    'signalfd': libc.signalfd(-1, ctypes.create_string_buffer(128), 0),
    'inotify': libc.inotify_init1(0),
    'pidfd': os.pidfd_open(os.getpid()),
}
number = lambda value: value if isinstance(value, int) else value.fileno()
`

test('B1.12: every kind crosses, is told by its name, and crosses back', async () => {
  const [a, b] = newPair({ type: 'seqpacket' })
  const child = python(
    `${all(newFolder())}
different = []
for kind, value in kinds.items():
    socket.send_fds(s, [kind.encode()], [number(value)])
    data, fds, flags, address = socket.recv_fds(s, 100, 2)
    links = [os.readlink('/proc/self/fd/%d' % fd) for fd in fds + [number(value)]]
    if len(links) != 2 or links[0] != links[1] and kind != 'pidfd':
        different.append(links)
s.close()
print_json([list(kinds), different])`,
    { sockets: [b] },
  )
  const kinds: string[] = []
  for await (const message of a) {
    const fd = claimed(message)
    kinds.push(fd.kind)
    expect(fd.kind).toBe(message.data.toString())
    await a.send('back', [fd])
    fd.close()
  }
  expect(await child).toEqual([kinds, []])
  expect(kinds).toHaveLength(23)
})

test('B1.12: an io_uring is refused with EINVAL where it is sent, and nothing of its message goes', async ({
  skip,
}) => {
  const [a, b] = newPair({ type: 'seqpacket' })
  const child = python(
    `ring = ctypes.CDLL(None, use_errno=True).syscall(425, 1, ctypes.create_string_buffer(120))
s.send(struct.pack('<ii', os.getpid(), ring))
s.recv(1)
print_json(ring)`,
    { sockets: [b] },
  )
  const { data } = await next(a)
  if (data.readInt32LE(4) < 0) {
    a.close()
    await child
    skip('this system has no io_uring')
  }
  const pidfd = own(new Fd(binding.pidfdOpen(data.readInt32LE(0))))
  const ring = own(new Fd(binding.pidfdGetfd(pidfd.fd, data.readInt32LE(4))))
  expect(ring.kind).toBe('io_uring')
  for (const [, options] of links) {
    const [c, d] = newPair(options)
    expect(
      codeOf(() => {
        c.sendSync('x', [0, ring])
      }),
    ).toBe('EINVAL')
    expect(isQuiet(d)).toBe(true)
  }
  a.close()
  await child
})
