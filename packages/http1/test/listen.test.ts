import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { adoptListener, Http1Error, listen } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'http1-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

describe('listen', () => {
  it('lets the kernel choose a port, and says which', () => {
    using listener = listen({ host: '127.0.0.1', port: 0 })
    expect(listener.port).toBeGreaterThan(0)
    expect(listener.address()).toEqual({ address: '127.0.0.1', port: listener.port, family: 'IPv4' })
    expect(listener.descriptor).toBeGreaterThan(2)
  })

  it('says who holds a port that is taken, and how to find out', () => {
    using first = listen({ host: '127.0.0.1', port: 0 })
    const { port } = first
    const again = () => listen({ host: '127.0.0.1', port })
    expect(again).toThrow(Http1Error)
    expect(again).toThrow(
      expect.objectContaining({
        code: 'EADDRINUSE',
        errno: -98,
        syscall: 'bind',
        message: expect.stringContaining(`ss -ltnp 'sport = :${port}'`) as string,
      }) as Error,
    )
  })

  it('shares a port with reusePort', () => {
    using first = listen({ host: '127.0.0.1', port: 0, reusePort: true })
    using second = listen({ host: '127.0.0.1', port: first.port, reusePort: true })
    expect(second.port).toBe(first.port)
  })

  it('listens on a Unix socket', () => {
    const path = join(folder, 'socket')
    using listener = listen({ path })
    expect(listener.address()).toEqual({ address: path, port: 0, family: 'unix' })
    expect(() => listen({ path })).toThrow(/exists already/)
  })

  it('adopts a listener that was made elsewhere', () => {
    using made = listen({ host: '127.0.0.1', port: 0 })
    expect(adoptListener(made.descriptor).port).toBe(made.port)
  })

  it.each([
    ['a name instead of an address', { host: 'localhost.', port: 0 }, 'EINVAL'],
    ['an address of another machine', { host: '192.0.2.1', port: 0 }, 'EADDRNOTAVAIL'],
    ['a port out of range', { port: 65_536 }, 'ERR_HTTP_OPTION'],
    ['no port', {}, 'ERR_HTTP_OPTION'],
    ['a path and a port', { path: '/x', port: 1 }, 'ERR_HTTP_OPTION'],
    ['an empty path', { path: '' }, 'ERR_HTTP_OPTION'],
    ['a path that is too long', { path: `/${'x'.repeat(200)}` }, 'ENAMETOOLONG'],
    ['a backlog of 0', { port: 0, backlog: 0 }, 'ERR_HTTP_OPTION'],
    ['an unknown option', { port: 0, retry: true }, 'ERR_HTTP_OPTION'],
  ])('refuses %s', (_, options, code) => {
    expect(() => listen(options)).toThrow(expect.objectContaining({ code }) as Error)
  })

  it('gives no descriptor after it was closed; closing twice is fine', () => {
    const listener = listen({ host: '127.0.0.1', port: 0 })
    listener.close()
    listener[Symbol.dispose]()
    expect(() => listener.descriptor).toThrow(expect.objectContaining({ code: 'EBADF' }) as Error)
  })
})
