import { readFileSync, readSync, writeSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { binding } from '../src/binding.ts'
import { Fd } from '../src/index.ts'
import { newFile, textOf } from './fixtures/files.ts'
import { own } from './fixtures/disposal.ts'
import { claimed, newPair, next } from './fixtures/sockets.ts'
import { isRoot, program, python, unprivileged } from './fixtures/program.ts'

const EBADF = -9
const O_CLOEXEC = 0o2000000

describe('a descriptor of another process', () => {
  test('B1.18: is duplicated through its pidfd, close-on-exec; a bad number is EBADF', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const child = python(
      `file = os.memfd_create('theirs')
os.write(file, b'theirs')
s.send(struct.pack('<ii', os.getpid(), file))
s.recv(1)
print_json('done')`,
      { sockets: [b] },
    )
    const { data } = await next(a)
    const pidfd = own(new Fd(binding.pidfdOpen(data.readInt32LE(0))))
    const copy = own(new Fd(binding.pidfdGetfd(pidfd.fd, data.readInt32LE(4))))
    expect([pidfd.kind, copy.kind, textOf(copy)]).toEqual(['pidfd', 'memfd', 'theirs'])
    for (const { fd } of [pidfd, copy]) {
      const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
      expect(Number.parseInt(flags ?? '', 8) & O_CLOEXEC).toBe(O_CLOEXEC)
    }
    expect(binding.pidfdGetfd(pidfd.fd, 9999)).toBe(EBADF)
    expect(binding.pidfdGetfd(newFile().fd, 0)).toBe(EBADF)
    a.close()
    expect(await child).toBe('done')
  })

  test.runIf(isRoot)(
    'B1.18: of a privileged process is EPERM without privileges (skipped without)',
    async () => {
      const outcome = await program(
        `const { binding } = await import('./dist/binding.js')
      const pidfd = binding.pidfdOpen(process.ppid)
      print([pidfd >= 0, binding.pidfdGetfd(pidfd, 0)])`,
        { through: unprivileged() },
      )
      expect(outcome).toEqual([true, -1])
    },
  )
})

describe('a memory file', () => {
  const F_SEAL_SEAL = 1
  const F_SEAL_SHRINK = 2
  const F_SEAL_GROW = 4
  const F_SEAL_WRITE = 8
  const F_SEAL_FUTURE_WRITE = 16

  test('B1.19: that is sealed cannot be changed by whoever receives it', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const file = own(new Fd(binding.memoryFile('ours')))
    const child = python(
      `data, fds, flags, address = socket.recv_fds(s, 10, 1)
file = fds[0]
print_json([os.pread(file, 10, 0).decode(), errno_of(lambda: os.write(file, b'x')), errno_of(lambda: os.ftruncate(file, 1)),
  errno_of(lambda: os.ftruncate(file, 100)), errno_of(lambda: fcntl.fcntl(file, 1033, 1)), fcntl.fcntl(file, 1034)])`,
      { sockets: [b] },
    )
    writeSync(file.fd, 'sealed')
    const seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
    expect(binding.addSeals(file.fd, seals)).toBe(0)
    expect(binding.seals(file.fd) & seals).toBe(seals)
    a.sendSync('x', [file])
    expect(await child).toEqual(['sealed', 'EPERM', 'EPERM', 'EPERM', 'EPERM', binding.seals(file.fd)])
  })

  test('B1.19: that is sealed against future writing can be written by the mapping that its maker has', async () => {
    const [a, b] = newPair({ type: 'seqpacket' })
    const child = python(
      `import mmap
file = os.memfd_create('theirs', os.MFD_ALLOW_SEALING)
os.ftruncate(file, 4096)
memory = mmap.mmap(file, 4096)
socket.send_fds(s, [b'x'], [file])
s.recv(1)
memory[0:5] = b'still'
s.send(b'written')
print_json(errno_of(lambda: os.write(file, b'x')))`,
      { sockets: [b] },
    )
    const file = claimed(await next(a))
    expect(binding.addSeals(file.fd, F_SEAL_FUTURE_WRITE)).toBe(0)
    a.sendSync('sealed')
    await next(a)
    const bytes = Buffer.alloc(5)
    readSync(file.fd, bytes, 0, 5, 0)
    expect(bytes.toString()).toBe('still')
    expect(await child).toBe('EPERM')
  })
})
