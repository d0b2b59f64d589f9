import { spawnSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Fd, FdListener, FdSocket, listen } from '../src/index.ts'
import { compiled } from './fixtures/compiled.ts'
import { newFile, textsOf } from './fixtures/files.ts'
import { newFolder, own } from './fixtures/disposal.ts'
import { accepted, codeOf, failure, newPair, next, received, rejection } from './fixtures/sockets.ts'
import { program, python, run } from './fixtures/program.ts'

const connected = async (listener: FdListener, name = listener.name): Promise<[FdSocket, FdSocket]> => {
  const client = own(await FdSocket.connect(name, { type: listener.type }))
  return [client, await accepted(listener)]
}

let abstract = 0
const newAbstractName = (): string => `\0fdpass-test-${process.pid}-${performance.now()}-${abstract++}`

/** A file of a file system: what a path of a socket is compared by. */
const isSocket = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true

describe('a path', () => {
  test.each(['stream', 'seqpacket'] as const)(
    '103, 104, 105, 107: is listened on and connected to, of %s',
    async (type) => {
      const path = join(newFolder(), 'socket')
      const listener = own(listen(path, { type }))
      expect([listener.name, listener.type, isSocket(path)]).toEqual([path, type, true])
      const [client, server] = await connected(listener)
      expect([client.peerName, client.localName, server.localName, server.peerName]).toEqual([
        path,
        undefined,
        path,
        undefined,
      ])
      client.sendSync('x', [newFile('over a path')])
      expect(textsOf(received(server))).toEqual(['over a path'])
    },
  )

  test('of a client may have a name too, which goes with it', async () => {
    const folder = newFolder()
    const listener = own(listen(join(folder, 'server'), { type: 'seqpacket' }))
    const localName = join(folder, 'client')
    const client = own(await FdSocket.connect(listener.name, { type: 'seqpacket', localName }))
    const server = await accepted(listener)
    expect([client.localName, server.peerName, isSocket(localName)]).toEqual([localName, localName, true])
    client.close()
    expect(existsSync(localName)).toBe(false)
  })

  /** A folder whose path alone is longer than a sockaddr_un. */
  const deepFolder = (): string => {
    const path = join(newFolder(), 'd'.repeat(100), 'e'.repeat(100))
    mkdirSync(path, { recursive: true })
    return path
  }

  test.each([
    ['107 bytes', (folder: string) => join(folder, 'x'.repeat(107 - folder.length - 1))],
    ['108 bytes', (folder: string) => join(folder, 'x'.repeat(108 - folder.length - 1))],
    ['a base name of 200 characters', (folder: string) => join(folder, 'x'.repeat(200))],
    ['a base name of 255 bytes', (folder: string) => join(folder, 'é'.repeat(127) + 'x')],
  ])('of %s is listened on, connected to, and removed', async (_, pathIn) => {
    const path = pathIn(newFolder())
    const listener = own(listen(path, { mode: 0o600 }))
    expect([listener.name, isSocket(path), statSync(path).mode & 0o777]).toEqual([path, true, 0o600])
    const [client, server] = await connected(listener)
    client.sendSync('x', [newFile('long')])
    expect(textsOf(received(server))).toEqual(['long'])
    expect(codeOf(() => listen(path))).toBe('EADDRINUSE')
    expect(codeOf(() => listen(path, { replace: true }))).toBe('EADDRINUSE')
    listener.close()
    expect(isSocket(path)).toBe(false)
  })

  test('in a folder whose path is too long is one all the same, of every type', async () => {
    const folder = deepFolder()
    for (const type of ['stream', 'seqpacket'] as const) {
      for (const base of ['s', 'x'.repeat(200)]) {
        const listener = own(listen(join(folder, base), { type }))
        const [client, server] = await connected(listener)
        client.sendSync('x')
        expect(received(server).data.toString()).toBe('x')
        listener.close()
        expect(isSocket(join(folder, base))).toBe(false)
      }
    }
    const bound = own(FdSocket.bound(join(folder, 'd')))
    const sender = own(
      await FdSocket.connect(join(folder, 'd'), { type: 'dgram', localName: join(folder, 'e') }),
    )
    sender.sendSync('x', [newFile('deep')])
    expect(textsOf(received(bound))).toEqual(['deep'])
    expect(bound.localName).toBe(join(folder, 'd'))
  })

  test('leaves no other file behind when it was long and taken', () => {
    const folder = newFolder()
    const path = join(folder, 'x'.repeat(200))
    writeFileSync(path, 'precious')
    expect(codeOf(() => listen(path))).toBe('EADDRINUSE')
    expect(readFileSync(path, 'utf8')).toBe('precious')
    expect(spawnSync('ls', ['-A', folder], { encoding: 'utf8' }).stdout.trim()).toBe('x'.repeat(200))
  })

  test.each([
    ['no folder', 'absent/socket', 'ENOENT'],
    ['a base name of 256', 'x'.repeat(256), 'ENAMETOOLONG'],
    ['a NUL in it', 'a\0b', 'EINVAL'],
  ])('with %s is refused, and nothing is left open', (_, base, code) => {
    const path = join(newFolder(), base)
    expect(codeOf(() => listen(path))).toBe(code)
    expect(codeOf(() => FdSocket.bound(path))).toBe(code)
    expect(codeOf(() => FdSocket.connectSync(path))).toBe(code)
  })

  test('an empty name, or none, is refused', async () => {
    for (const name of ['', undefined as never, 1 as never]) {
      expect(codeOf(() => listen(name))).toBe('EINVAL')
      expect((await rejection(FdSocket.connect(name))).code).toBe('EINVAL')
    }
  })
})

describe('connecting', () => {
  test('to a name that is not there fails with ENOENT, to one that nobody listens on with ECONNREFUSED', async () => {
    const path = join(newFolder(), 'socket')
    for (const type of ['stream', 'seqpacket', 'dgram'] as const) {
      expect((await rejection(FdSocket.connect(path, { type }))).message).toContain('is the server running?')
    }
    listen(path, { unlink: false }).close()
    expect((await rejection(FdSocket.connect(path))).code).toBe('ECONNREFUSED')
    expect(codeOf(() => FdSocket.connectSync(path))).toBe('ECONNREFUSED')
    expect((await rejection(FdSocket.connect(newAbstractName()))).code).toBe('ECONNREFUSED')
    const file = join(newFolder(), 'file')
    writeFileSync(file, '')
    expect((await rejection(FdSocket.connect(file))).code).toBe('ECONNREFUSED')
  })

  test('to a listener of another type fails with EPROTOTYPE', async () => {
    const listener = own(listen(join(newFolder(), 'socket'), { type: 'seqpacket' }))
    expect((await rejection(FdSocket.connect(listener.name))).code).toBe('EPROTOTYPE')
  })

  test('follows a symbolic link', async () => {
    const folder = newFolder()
    const listener = own(listen(join(folder, 'socket')))
    symlinkSync('socket', join(folder, 'link'))
    const [client, server] = await connected(listener, join(folder, 'link'))
    client.sendSync('x')
    expect(received(server).data.toString()).toBe('x')
  })
})

describe('an abstract name', () => {
  test('is no file, carries descriptors, and goes with its socket', async () => {
    const name = newAbstractName()
    for (const type of ['stream', 'seqpacket'] as const) {
      const listener = own(listen(name, { type }))
      const [client, server] = await connected(listener)
      expect([listener.name, client.peerName, server.localName]).toEqual([name, name, name])
      client.sendSync('x', [newFile('abstract')])
      expect(textsOf(received(server))).toEqual(['abstract'])
      expect(codeOf(() => listen(name, { type }))).toBe('EADDRINUSE')
      expect(codeOf(() => listen(name, { type, replace: true }))).toBe('EADDRINUSE')
      listener.close()
    }
  })

  test('is compared to its last byte, and has at most 108', async () => {
    const name = newAbstractName()
    const one = own(listen(name))
    const two = own(listen(`${name}\0`))
    const [client, server] = await connected(two)
    expect([client.peerName, server.localName]).toEqual([`${name}\0`, `${name}\0`])
    expect(one.name).toBe(name)
    const longest = newAbstractName().padEnd(108, 'x')
    expect((await connected(own(listen(longest))))[0].peerName).toBe(longest)
    expect(codeOf(() => listen(`${longest}x`))).toBe('ENAMETOOLONG')
  })
})

describe('without a name', () => {
  test('are the ends of a pair', () => {
    for (const type of ['stream', 'seqpacket', 'dgram'] as const) {
      const [a, b] = newPair({ type })
      expect([a.localName, a.peerName, b.localName, b.peerName]).toEqual(Array(4).fill(undefined))
    }
  })
})

describe('permissions', () => {
  test('are those of mode, whatever the umask is; without mode the umask decides', async () => {
    const folder = newFolder()
    const outcome = await program(
      `const modes = []
      for (const umask of [0o000, 0o022, 0o077, 0o777]) {
        process.umask(umask)
        for (const [i, options] of [{}, { mode: 0o600 }, { mode: 0o666 }, { mode: 0o777 }, { mode: 0 }].entries()) {
          for (const name of ['s', 'x'.repeat(200)]) {
            const path = ${JSON.stringify(folder)} + '/' + name + umask + i
            const listener = listen(path, options)
            modes.push((fs.statSync(path).mode & 0o777) === (options.mode ?? 0o777 & ~umask))
            listener.close()
            const bound = FdSocket.bound(path, options)
            modes.push((fs.statSync(path).mode & 0o777) === (options.mode ?? 0o777 & ~umask))
            bound.close()
          }
        }
      }
      print([modes.length, new Set(modes).size, modes[0]])`,
    )
    expect(outcome).toEqual([80, 1, true])
  })

  test('are never wider, from the first moment on: what chmod(2) finds is mode already, less the umask', async () => {
    const folder = newFolder()
    const library = compiled('before-chmod.c', ['-shared', '-fPIC'])
    const log = join(folder, 'log')
    await program(
      `process.umask(0o020)
      for (const name of ['s', 'x'.repeat(200)]) {
        const path = ${JSON.stringify(folder)} + '/' + name
        for (const mode of [0o600, 0o660]) listen(path, { mode }).close()
      }`,
      { env: { LD_PRELOAD: library, BEFORE_CHMOD_LOG: log } },
    )
    expect(readFileSync(log, 'utf8').trim().split('\n')).toEqual(['600', '640', '600', '640'])
  })

  test.each([[0o1000], [-1], [0.5]])('mode %i is refused', (mode) => {
    const path = join(newFolder(), 'socket')
    expect(codeOf(() => listen(path, { mode }))).toBe('EINVAL')
    expect(existsSync(path)).toBe(false)
  })
})

describe('a path that is taken', () => {
  test('by a regular file is EADDRINUSE, and the file stays, replace or not', () => {
    const path = join(newFolder(), 'precious')
    writeFileSync(path, 'data')
    for (const options of [{}, { replace: true }]) {
      expect(codeOf(() => listen(path, options))).toBe('EADDRINUSE')
      expect(codeOf(() => FdSocket.bound(path, options))).toBe('EADDRINUSE')
    }
    expect(readFileSync(path, 'utf8')).toBe('data')
  })

  test('by whoever listens is EADDRINUSE, replace or not, and that one goes on', async () => {
    for (const type of ['stream', 'seqpacket'] as const) {
      const path = join(newFolder(), 'socket')
      const listener = own(listen(path, { type }))
      for (const other of ['stream', 'seqpacket'] as const) {
        expect(failure(() => listen(path, { type: other, replace: true })).code).toBe('EADDRINUSE')
      }
      expect(codeOf(() => FdSocket.bound(path, { replace: true }))).toBe('EADDRINUSE')
      // Those who looked whether it is left behind were no clients.
      const [client, server] = await connected(listener)
      client.sendSync('x')
      expect(received(server).data.toString()).toBe('x')
      expect((await rejection(listener.accept({ timeout: 0 }))).code).toBe('ETIMEDOUT')
    }
  })

  test('by a socket that was left behind: replace takes it over, and nothing else does', async () => {
    const path = join(newFolder(), 'socket')
    await run([
      'python3',
      '-c',
      `import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()`,
      path,
    ])
    expect(isSocket(path)).toBe(true)
    expect(failure(() => listen(path)).message).toContain('replace: true')
    const listener = own(listen(path, { replace: true }))
    await connected(listener)
    listener.close()
    expect(isSocket(path)).toBe(false)
  })

  test('by a socket that is bound and does not listen yet: replace leaves it alone', async () => {
    const path = join(newFolder(), 'socket')
    const [a, b] = newPair({ type: 'seqpacket' })
    const child = python(
      `t = socket.socket(socket.AF_UNIX)
t.bind(${JSON.stringify(path)})
s.send(b'bound')
s.recv(1)
t.listen()
print_json('listens')`,
      { sockets: [b] },
    )
    expect((await next(a)).data.toString()).toBe('bound')
    expect(codeOf(() => listen(path, { replace: true }))).toBe('EADDRINUSE')
    a.sendSync('x')
    expect(await child).toBe('listens')
  })

  test('by a datagram socket that was left behind: replace takes it over', () => {
    const path = join(newFolder(), 'socket')
    FdSocket.bound(path, { unlink: false }).close()
    expect(codeOf(() => FdSocket.bound(path))).toBe('EADDRINUSE')
    const bound = own(FdSocket.bound(path, { replace: true }))
    expect(codeOf(() => FdSocket.bound(path, { replace: true }))).toBe('EADDRINUSE')
    bound.close()
    expect(isSocket(path)).toBe(false)
  })
})

describe('closing', () => {
  test('removes the path, unless told', () => {
    const path = join(newFolder(), 'socket')
    listen(path).close()
    expect(isSocket(path)).toBe(false)
    FdSocket.bound(path).close()
    expect(isSocket(path)).toBe(false)
    listen(path, { unlink: false }).close()
    expect(isSocket(path)).toBe(true)
  })

  test('leaves a path that has become another’s', () => {
    const folder = newFolder()
    const path = join(folder, 'socket')
    const first = own(listen(path))
    renameSync(path, join(folder, 'old'))
    const second = own(listen(path))
    first.close()
    expect([isSocket(path), isSocket(join(folder, 'old'))]).toEqual([true, true])
    renameSync(path, join(folder, 'older'))
    writeFileSync(path, 'data')
    second.close()
    expect(readFileSync(path, 'utf8')).toBe('data')
  })

  test('leaves the path of a listener that was taken', () => {
    const path = join(newFolder(), 'socket')
    const listener = listen(path)
    own(FdListener.from(Fd.from(listener.take()))).close()
    listener.close()
    expect(isSocket(path)).toBe(true)
  })
})
