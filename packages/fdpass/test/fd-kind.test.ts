import { afterAll, describe, expect, test } from 'vitest'
import { pidfdGetfd, pidfdOpen } from '../src/index.ts'
import { openFd } from './fixtures/descriptors.ts'
import { kinds } from './fixtures/kinds.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf } from './fixtures/sockets.ts'
import { obstacles, Python } from './fixtures/python.ts'

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
  const fd = openFd('/dev/null', 'r')
  expect(fd.kind).toBe('character-device')
  fd.close()
  expect(codeOf(() => fd.kind)).toBe('EBADF')
})
