import { closeSync, openSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { Fd, pidfdGetfd, pidfdOpen } from '../src/index.ts'
import { codeOf, own } from './fixtures/own.ts'
import { obstacles, Python } from './fixtures/python.ts'

/** Statements of Python that make a descriptor `fd`, and what its kind is. */
const kinds: [kind: string, code: string, what?: string][] = [
  ['file', 'fd = os.open("/etc/passwd", os.O_RDONLY)'],
  ['file', 'fd = os.open("/tmp", os.O_TMPFILE | os.O_RDWR)', 'without a name'],
  ['file', 'fd = os.open("/proc/self/status", os.O_RDONLY)', 'of /proc'],
  ['memfd', 'fd = os.memfd_create("x")'],
  ['memfd', 'fd = os.memfd_create("x", os.MFD_CLOEXEC | os.MFD_HUGETLB)', 'of huge pages'],
  ['directory', 'fd = os.open("/tmp", os.O_RDONLY)'],
  ['block-device', 'fd = os.open("/dev/loop0", os.O_RDONLY)'],
  ['character-device', 'fd = os.open("/dev/null", os.O_RDONLY)'],
  ['tty', 'other, fd = os.openpty()'],
  ['tty', 'fd, other = os.openpty()', 'a master'],
  ['tty', 'other, fd = os.openpty(); os.close(other)', 'hung up'],
  ['pipe', 'fd, other = os.pipe()', 'to read'],
  ['pipe', 'other, fd = os.pipe()', 'to write'],
  [
    'fifo',
    'import tempfile; path = tempfile.mktemp(); os.mkfifo(path); fd = os.open(path, os.O_RDWR); os.unlink(path)',
  ],
  ['path', 'fd = os.open("/etc/passwd", os.O_PATH)', 'of a file'],
  ['path', 'fd = os.open("/tmp", os.O_PATH | os.O_DIRECTORY)', 'of a directory'],
  ['tcp', 'fd = socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach()'],
  ['tcp', 'fd = socket.socket(socket.AF_INET6, socket.SOCK_STREAM).detach()', 'over IPv6'],
  ['tcp', 'fd = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).detach()', 'multipath'],
  ['tcp-listener', 'fd = socket.create_server(("127.0.0.1", 0)).detach()'],
  ['udp', 'fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()'],
  ['udp', 'fd = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).detach()', 'over IPv6'],
  ['unix-stream', 'fd = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach()'],
  ['unix-stream', 'other, one = socket.socketpair(); fd = one.detach()', 'of a pair'],
  ['unix-seqpacket', 'fd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach()'],
  ['unix-dgram', 'fd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()'],
  [
    'unix-stream-listener',
    's = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM); s.bind(""); s.listen(); fd = s.detach()',
  ],
  [
    'unix-seqpacket-listener',
    's = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(""); s.listen(); fd = s.detach()',
  ],
  ['socket', 'fd = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).detach()', 'of netlink'],
  ['socket', 'fd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136).detach()', 'of UDP-Lite'],
  ['socket', 'fd = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).detach()', 'raw'],
  ['socket', 'fd = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).detach()', 'of vsock'],
  ['eventfd', 'fd = os.eventfd(0)'],
  ['epoll', 'poll = select.epoll(); fd = os.dup(poll.fileno())'],
  ['timerfd', 'fd = libc.timerfd_create(1, 0)'],
  ['signalfd', 'mask = (ctypes.c_ulong * 16)(1 << 9); fd = libc.signalfd(-1, mask, 0)'],
  ['inotify', 'fd = libc.inotify_init1(0)'],
  ['fanotify', 'fd = libc.fanotify_init(0x200, 0)'],
  ['pidfd', 'fd = os.pidfd_open(os.getpid())'],
  ['userfaultfd', 'fd = syscall(userfaultfd, 1)'],
  [
    'bpf-map',
    'attributes = struct.pack("10I", 2, 4, 4, 1, *([0] * 6)); fd = syscall(bpf, 0, attributes, 40)',
  ],
  ['io_uring', 'parameters = (ctypes.c_char * 120)(); fd = syscall(425, 1, parameters)'],
  ['anonymous:net', 'fd = os.open("/proc/self/ns/net", os.O_RDONLY)'],
  ['anonymous:time', 'fd = os.open("/proc/self/ns/time", os.O_RDONLY)'],
  ['anonymous:fscontext', 'fd = syscall(430, b"tmpfs", 0)'],
  ['anonymous:landlock-ruleset', 'fd = syscall(444, struct.pack("Q", 1), 8, 0)'],
]

const python = new Python()
afterAll(() => {
  python[Symbol.dispose]()
})

const reasons = obstacles(kinds.map(([, code]) => code))

describe('the kind of what another process has made', () => {
  for (const [index, [kind, code, what]] of kinds.entries()) {
    const title = `${kind}${what === undefined ? '' : `, ${what}`}`
    const reason = reasons[index] ?? ''
    test.skipIf(reason !== '')(`${title}${reason === '' ? '' : ` (left out: ${reason})`}`, async () => {
      if (kind === 'io_uring') {
        // The kernel refuses to send it.
        await python.run(code)
        const number = (await python.ask('fd')) as number
        expect(own(pidfdGetfd(own(pidfdOpen(python.pid)), number)).kind).toBe(kind)
      } else {
        expect((await python.fd(`${code}\nfds = [fd]`)).kind).toBe(kind)
      }
    })
  }
})

test('a file that is called as a memfd, or as a namespace, is a file', async () => {
  for (const name of ['memfd:x (deleted)', 'net:[4026531840]']) {
    const code = `import tempfile; folder = tempfile.mkdtemp(); path = os.path.join(folder, ${JSON.stringify(name)})
fd = os.open(path, os.O_RDWR | os.O_CREAT); os.unlink(path); os.rmdir(folder); fds = [fd]`
    expect((await python.fd(code)).kind).toBe('file')
  }
})

test('a listener of TCP that is shut listens no more', async () => {
  const listener = await python.fd('s = socket.create_server(("127.0.0.1", 0)); fds = [s.fileno()]')
  expect(listener.kind).toBe('tcp-listener')
  await python.run('s.shutdown(socket.SHUT_RDWR)')
  expect(listener.kind).toBe('tcp')
})

test('of a closed one there is no kind', () => {
  const fd = Fd.from(openSync('/dev/null', 'r'))
  expect(fd.kind).toBe('character-device')
  closeSync(fd.fd)
  expect(codeOf(() => fd.kind)).toBe('EBADF')
  fd.take()
  expect(codeOf(() => fd.kind)).toBe('EBADF')
})
