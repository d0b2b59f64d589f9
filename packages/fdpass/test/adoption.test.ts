import { once } from 'node:events'
import { afterAll, describe, expect, test } from 'vitest'
import type { Fd, FdPassError } from '../src/index.ts'
import { expectHolders, holders, identityOf, isOpen } from './fixtures/descriptors.ts'
import { kinds } from './fixtures/kinds.ts'
import { own } from './fixtures/disposal.ts'
import { codeOf } from './fixtures/sockets.ts'
import { obstacles, Python } from './fixtures/python.ts'

interface Adopted {
  close(): void | Promise<void>
}

const destroyed = (stream: {
  destroy(): unknown
  on(event: 'error', listener: () => void): unknown
}): Adopted => ({
  close: async () => {
    stream.on('error', () => undefined) // a socket that is not connected, a terminal that was hung up
    stream.destroy()
    await once(stream as never, 'close')
  },
})

/** Every method, with everything allowed. */
const methods: Record<string, (fd: Fd) => Promise<Adopted>> = {
  toFileHandle: (fd) => fd.toFileHandle(),
  toSocket: async (fd) => Promise.resolve(destroyed(fd.toSocket({ nonblocking: true }))),
  toServer: async (fd) => {
    const server = await fd.toServer({ nonblocking: true })
    return { close: () => void server.close() }
  },
  toDgram: async (fd) => {
    const socket = fd.toDgram({ nonblocking: true })
    return Promise.resolve({ close: () => void socket.close() })
  },
  toTty: async (fd) => Promise.resolve(destroyed(fd.toTty())),
}

const fits: Record<string, string | undefined> = {
  file: 'toFileHandle',
  memfd: 'toFileHandle',
  directory: 'toFileHandle',
  'block-device': 'toFileHandle',
  'character-device': 'toFileHandle',
  tty: 'toTty',
  pipe: 'toSocket',
  fifo: 'toSocket',
  tcp: 'toSocket',
  'tcp-listener': 'toServer',
  udp: 'toDgram',
  'unix-stream': 'toSocket',
  'unix-stream-listener': 'toServer',
}

const advice: Record<string, string | undefined> = {
  path: 'reopen()',
  'unix-seqpacket': 'FdSocket.from()',
  'unix-dgram': 'FdSocket.from()',
  'unix-seqpacket-listener': 'FdListener.from()',
}

const python = new Python()
afterAll(() => {
  python[Symbol.dispose]()
})

const reasons = obstacles(kinds.map(([, code]) => code))

for (const [index, [kind, code, what]] of kinds.entries()) {
  const reason = reasons[index] ?? ''
  const hungUp = what === 'hung up'
  // The kernel does not send it.
  if (kind === 'io_uring') continue
  const title = `${kind}${what === undefined ? '' : `, ${what}`}${reason === '' ? '' : ` (left out: ${reason})`}`
  describe.skipIf(reason !== '')(title, () => {
    const fitting = hungUp ? undefined : fits[kind]

    if (fitting !== undefined)
      test(`becomes Node’s by ${fitting}()`, async () => {
        const fd = await python.fd(`${code}\nfds = [fd]`)
        const identity = identityOf(fd.fd)
        const others = holders(identity) - 1
        const adopted = await methods[fitting]!(fd)
        expect(fd.fd).toBe(-1)
        expect(codeOf(() => fd.take())).toBe('EBADF')
        fd.close()
        await adopted.close()
        await expectHolders(identity, others)
      })

    test('is refused by the other methods, which say what takes it, and stays as it was', async () => {
      const fd = await python.fd(`${code}\nfds = [fd]`)
      const { blocking } = fd
      const number = fd.fd
      const identity = identityOf(number)
      const all = holders(identity)
      for (const [name, method] of Object.entries(methods)) {
        if (name === fitting) continue
        const error = (await method(fd).then(
          () => undefined,
          (cause: unknown) => cause,
        )) as FdPassError
        if (name !== 'toTty' || !hungUp) {
          expect(error).toMatchObject({ code: 'EINVAL', syscall: 'adopt', name: 'FdPassError' })
          expect(error.message).toContain(`${kind} cannot become a`)
          expect(error.message).toContain(advice[kind] ?? fits[kind] ?? 'Node has no class for it')
        } else expect(error.code).toBe('EIO')
        expect(fd.fd).toBe(number)
        expect(fd.blocking).toBe(blocking)
        await expectHolders(identity, all)
      }
      fd.close()
      expect(isOpen(number)).toBe(false)
    })
  })
}

describe('what is closed', () => {
  for (const [name, method] of Object.entries(methods)) {
    test(`cannot be adopted by ${name}: EBADF`, async () => {
      const fd = own(await python.fd('fd = os.memfd_create("x"); fds = [fd]'))
      fd.close()
      await expect(method(fd)).rejects.toMatchObject({ code: 'EBADF' })
    })
  }
})
