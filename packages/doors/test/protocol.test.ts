import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { FdSocket, listen, memfd, type Fd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { openDoor } from '../src/index.ts'
import { Assembly, piecesOf } from '../src/pieces.ts'
import { decodeHeader, encodeHeader, HEADER, Type } from '../src/wire.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

const source = fileURLToPath(new URL('./fixtures/client.c', import.meta.url))

describe('121: a client in C, without the library', () => {
  test('calls and is answered', async () => {
    const program = join(newFolder(), 'client')
    execFileSync('cc', ['-O1', '-Wall', '-Werror', source, '-o', program])
    const pids: number[] = []
    const { path } = newDoor((data, { caller }) => {
      pids.push(caller.pid)
      return String(data).toUpperCase()
    })
    const child = spawn(program, [path, 'from c'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [output] = (await once(child.stdout, 'data')) as [Buffer]
    expect(output.toString()).toBe('0 FROM C\n')
    expect(pids).toEqual([child.pid])
  })
})

describe('122: a hostile client', () => {
  const garbage = [
    ['nothing of a packet', Buffer.from('GET / HTTP/1.1')],
    [
      'an unknown type',
      encodeHeader({ type: 99 as never, sequence: 1, status: 0, length: 0, descriptors: 0 }),
    ],
    ['a reply', encodeHeader({ type: Type.reply, sequence: 1, status: 0, length: 0, descriptors: 0 })],
    [
      'a piece of nothing',
      encodeHeader({ type: Type.more, sequence: 1, status: 0, length: 5, descriptors: 0 }),
    ],
    [
      'more bytes than it said',
      Buffer.concat([
        encodeHeader({ type: Type.call, sequence: 1, status: 0, length: 1, descriptors: 0 }),
        Buffer.alloc(9),
      ]),
    ],
  ] as const

  test.each(garbage)('that sends %s on a session loses it, and nobody else', async (_, bytes) => {
    const { path, client } = await newOpenDoor(echo)
    const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    await raw.send(encodeHeader({ type: Type.session, sequence: 0, status: 0, length: 0, descriptors: 1 }), [
      far,
    ])
    far.close()
    await near.send(bytes)
    expect(await near.recv({ timeout: 5000 }).catch(() => null)).toBeNull()
    expect((await client.call('fine')).data.toString()).toBe('fine')
  })

  test.each(garbage)('that sends %s on the door loses its open, and nobody else', async (_, bytes) => {
    const { path, door, client } = await newOpenDoor(echo)
    const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    own((await raw.recv())!)
    await until(() => door.references.opens === 2)
    await raw.send(bytes, [memfd('x'), memfd('y')].map(own))
    await until(() => door.references.opens === 1)
    expect((await client.call('fine')).data.toString()).toBe('fine')
  })

  test('that says a great length, and sends little, costs what it sends', async () => {
    const { path, client } = await newOpenDoor(echo, { dataMax: 1000 })
    const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    await raw.send(encodeHeader({ type: Type.session, sequence: 0, status: 0, length: 0, descriptors: 1 }), [
      far,
    ])
    far.close()
    await near.send(
      encodeHeader({ type: Type.call, sequence: 1, status: 0, length: 2 ** 50, descriptors: 0 }),
    )
    expect((await client.call('fine')).data.toString()).toBe('fine')
  })

  test('51: that sends more descriptors than the door takes, in two pieces, is told so, and may go on', async () => {
    const { path } = await newOpenDoor(echo, { descMax: 10 })
    const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    await raw.send(encodeHeader({ type: Type.session, sequence: 0, status: 0, length: 0, descriptors: 1 }), [
      far,
    ])
    far.close()
    const file = own(memfd('x'))
    const many = Array.from({ length: 300 }, () => file)
    const ask = async (sequence: number, fds: readonly Fd[]): Promise<number | undefined> => {
      const packet = { type: Type.call, sequence, status: 0, length: 0, descriptors: fds.length }
      for (const piece of piecesOf(packet, Buffer.alloc(0), fds)) await near.send(piece.bytes, piece.fds)
      const reply = await near.recv({ timeout: 5000 })
      return reply === null ? undefined : decodeHeader(reply.data)?.status
    }
    expect(await ask(1, many)).toBe(-23) // ENFILE
    expect(await ask(2, [file])).toBe(0)
  })

  test('that never reads does not stand in the way of others', async () => {
    const { path, client } = await newOpenDoor(() => Buffer.alloc(200_000))
    const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    await raw.send(encodeHeader({ type: Type.session, sequence: 0, status: 0, length: 0, descriptors: 1 }), [
      far,
    ])
    far.close()
    for (let n = 1; n <= 20; n++) {
      await near.send(encodeHeader({ type: Type.call, sequence: n, status: 0, length: 0, descriptors: 0 }))
    }
    expect((await client.call('x')).data.length).toBe(200_000)
  })
})

describe('123: a hostile server', () => {
  const serve = (answer: (socket: FdSocket) => void | Promise<void>): string => {
    const path = join(newFolder(), 'door')
    const listener = own(listen(path, { type: 'seqpacket' }))
    void listener.accept().then(
      (socket) => answer(own(socket)),
      () => undefined,
    )
    return path
  }
  const hello = encodeHeader({ type: Type.hello, sequence: 0, status: 0, length: 0, descriptors: 1 })

  test.each([
    ['that says nothing is ETIMEDOUT', () => undefined, 'ETIMEDOUT'],
    ['that sends garbage is EBADF', (socket: FdSocket) => socket.send('garbage'), 'EBADF'],
    [
      'whose page could be shrunk is EBADF',
      (socket: FdSocket) => socket.send(hello, [own(memfd('page', Buffer.alloc(4096)))]),
      'EBADF',
    ],
    [
      'that leaves is EBADF',
      (socket: FdSocket) => {
        socket.close()
      },
      'EBADF',
    ],
  ])('%s', async (_, answer, code) => {
    const before = countOpen()
    const path = serve(answer)
    expect(await codeOf(() => openDoor(path, { timeout: 50 }))).toBe(code)
    expect(countOpen()).toBeLessThanOrEqual(before + 3) // the listener, its socket, and the page of the test
  })
})

test('pieces are put together whatever their number, and each descriptor is in one place', () => {
  fc.assert(
    fc.property(fc.nat(300_000), fc.nat(600), (size, count) => {
      const packet = { type: Type.call, sequence: 3, status: 0, length: size, descriptors: count }
      const data = Buffer.alloc(size, 'abc')
      const pieces = piecesOf(
        packet,
        data,
        Array.from({ length: count }, (_, n) => n),
      )
      const assembly = new Assembly()
      const taken: number[] = []
      const wholes = pieces.map(({ bytes, fds }) => {
        const all = Buffer.concat(bytes)
        const header = decodeHeader(all.subarray(0, HEADER))
        const message = {
          data: all,
          fdCount: fds.length,
          claim: () => (taken.push(...(fds as number[])), fds),
        }
        return assembly.push(header!, message as never, { bytes: 2 ** 30, fds: 1000 })
      })
      expect(wholes.slice(0, -1).every((whole) => whole === undefined)).toBe(true)
      expect(wholes.at(-1)?.data.equals(data)).toBe(true)
      expect(taken).toEqual(Array.from({ length: count }, (_, n) => n))
    }),
    { numRuns: 50 },
  )
})

describe('who calls', () => {
  test('63, 66: is the immediate caller, as the kernel knows it', async () => {
    const { client } = await newOpenDoor((_, { caller }) => {
      const pidfd = caller.pidfd()
      const { kind } = pidfd
      pidfd.close()
      return JSON.stringify({
        pid: caller.pid,
        uid: caller.uid,
        gid: caller.gid,
        groups: caller.groups,
        kind,
      })
    })
    const told = JSON.parse((await client.call('x')).data.toString()) as object
    const [uid, gid] = [process.getuid?.(), process.getgid?.()]
    const groups = /^Groups:\t(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]?.trim() ?? ''
    expect(told).toMatchObject({ pid: process.pid, uid, gid, kind: 'pidfd' })
    expect((told as { groups: number[] }).groups.join(' ')).toBe(groups)
  })

  test('65: nobody, when the caller has gone: EINVAL', async () => {
    let code = ''
    const { client } = await newOpenDoor(async (_, context) => {
      await new Promise((resolve) => {
        context.signal.addEventListener('abort', resolve)
      })
      await new Promise((resolve) => setTimeout(resolve, 5))
      code = await codeOf(() => context.caller)
    })
    const call = codeOf(() => client.call('x'))
    setTimeout(() => {
      client.close()
    }, 20)
    expect(await call).toBe('EINTR')
    await until(() => code !== '')
    expect(code).toBe('EINVAL')
  })
})

test.runIf(isMainThread)(
  'a door is served in a worker, which takes it with it when it is terminated',
  async () => {
    const path = join(newFolder(), 'door')
    const file = fileURLToPath(new URL('./fixtures/worker-door.js', import.meta.url))
    const server = new Worker(file, { workerData: path })
    await once(server, 'message')
    const client = own(await openDoor(path))
    expect(client.callSync('x').data.toString()).toBe('worker x')
    await server.terminate()
    await expect.poll(() => codeOf(() => client.call('x'))).toBe('EBADF')
  },
)
