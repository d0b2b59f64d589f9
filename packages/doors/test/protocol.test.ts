import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread, Worker } from 'node:worker_threads'
import { Fd, FdSocket, listen, memfd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import { DOOR_REVOKED, DoorClient, openDoor } from '../src/index.ts'
import { decodeHeader, encodeHeader, SessionFlag, Type, type PacketType } from '../src/wire.ts'
import { compiled } from './fixtures/compiled.ts'
import { codeOf, countOpen, newFolder, own, until } from './fixtures/disposal.ts'
import { echo, newDoor, newOpenDoor } from './fixtures/doors.ts'

describe('121: a client in C, without the library', () => {
  test('121: calls and is answered', async () => {
    const pids: number[] = []
    const { path } = newDoor((data, { caller }) => {
      pids.push(caller.pid)
      return String(data).toUpperCase()
    })
    const child = spawn(compiled('client.c'), [path, 'from c'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [output] = (await once(child.stdout, 'data')) as [Buffer]
    expect(output.toString()).toBe('0 FROM C\n')
    expect(pids).toEqual([child.pid])
  })
})

/** The client's end of a session that this process makes by packets. */
const newRawSession = async (path: string, flags: number): Promise<FdSocket> => {
  const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
  const [near, far] = FdSocket.pair({ type: 'seqpacket' })
  own(near)
  const packet = { type: Type.session, sequence: 0, status: flags, length: 0, descriptors: 1 }
  await raw.send(encodeHeader(packet), [far])
  far.close()
  return near
}
const packetOf = (type: PacketType, sequence: number): Buffer =>
  encodeHeader({ type, sequence, status: 0, length: 0, descriptors: 0 })

describe('122: a hostile client', () => {
  const garbage = [
    ['nothing of a packet', Buffer.from('GET / HTTP/1.1')],
    [
      'another version of the protocol',
      Buffer.from(
        encodeHeader({ type: Type.call, sequence: 1, status: 0, length: 0, descriptors: 0 }).fill(2, 3, 4),
      ),
    ],
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

  test.each(garbage)('122, 124: that sends %s on a session loses it, and nobody else', async (_, bytes) => {
    const { path, client } = await newOpenDoor(echo)
    const near = await newRawSession(path, 0)
    await near.send(bytes)
    expect(await near.recv({ timeout: 5000 }).catch(() => null)).toBeNull()
    expect((await client.call('fine')).data.toString()).toBe('fine')
  })

  test.each(garbage)(
    '122, 124: that sends %s on the door loses its open, and nobody else',
    async (_, bytes) => {
      const { path, door, client } = await newOpenDoor(echo)
      const raw = own(await FdSocket.connect(path, { type: 'seqpacket' }))
      own((await raw.recv())!)
      await until(() => door.references.opens === 2)
      await raw.send(bytes, [memfd('x'), memfd('y')].map(own))
      await until(() => door.references.opens === 1)
      expect((await client.call('fine')).data.toString()).toBe('fine')
    },
  )

  test('122: with a sequential session that reads no replies has one waiting, and then no session', async () => {
    let calls = 0
    const { path } = newDoor(() => {
      calls++
      return Buffer.alloc(2 ** 20)
    })
    const near = await newRawSession(path, SessionFlag.sequential)
    const flood = async (): Promise<void> => {
      for (let sequence = 1; sequence < 1000; sequence++) {
        await near.send(packetOf(Type.call, sequence))
        await new Promise(setImmediate)
      }
    }
    expect(['EPIPE', 'ECONNRESET']).toContain(await codeOf(flood))
    // One reply may be in the socket, and the next one waits.
    expect(calls).toBeLessThanOrEqual(3)
  })

  test('122: that reads no reply does not keep its door from being revoked', async () => {
    let calls = 0
    const { door, path } = newDoor(() => {
      calls++
      return Buffer.alloc(2 ** 24)
    })
    const near = await newRawSession(path, 0)
    await near.send(packetOf(Type.call, 1))
    await until(() => calls === 1)
    await door.revoke()
    expect(door.info().attributes & DOOR_REVOKED).toBe(DOOR_REVOKED)
  })

  test('122: that sends without end, and no calls, has its turn and no more', async () => {
    const order: string[] = []
    const { path, client } = await newOpenDoor(async (data, { signal }) => {
      order.push(String(data))
      if (data === null)
        await new Promise((resolve) => {
          signal.addEventListener('abort', resolve)
        })
    })
    await client.call('first')
    const near = await newRawSession(path, 0)
    await near.send(packetOf(Type.call, 1))
    await until(() => order.includes('null'))
    // All before the event loop turns: the session's event comes first, and then the other client's.
    for (let n = 0; n < 60; n++) near.sendSync(packetOf(Type.cancel, 1))
    near.sendSync(packetOf(Type.call, 2))
    await client.call('other')
    expect(order.slice(0, 3)).toEqual(['first', 'null', 'other'])
  })

  test('that says a great length, and sends little, costs what it sends', async () => {
    const { path, client } = await newOpenDoor(echo, { dataMax: 1000 })
    const near = await newRawSession(path, 0)
    await near.send(
      encodeHeader({ type: Type.call, sequence: 1, status: 0, length: 2 ** 50, descriptors: 0 }),
    )
    expect((await client.call('fine')).data.toString()).toBe('fine')
  })

  test('51: that sends more descriptors than the door takes, in two pieces, is told so, and may go on', async () => {
    const { path } = await newOpenDoor(echo, { descMax: 10 })
    const near = await newRawSession(path, 0)
    const file = own(memfd('x'))
    const many = Array.from({ length: 300 }, () => file)
    const ask = async (sequence: number, fds: readonly Fd[]): Promise<number | undefined> => {
      const packet = { type: Type.call, sequence, status: 0, length: 0, descriptors: fds.length }
      await near.send(encodeHeader(packet), fds.slice(0, 200))
      if (fds.length > 200) await near.send(encodeHeader({ ...packet, type: Type.more }), fds.slice(200))
      const reply = await near.recv({ timeout: 5000 })
      return reply === null ? undefined : decodeHeader(reply.data)?.status
    }
    expect(await ask(1, many)).toBe(-23) // ENFILE
    expect(await ask(2, [file])).toBe(0)
  })

  test('55: that sends more than 256 MiB is told so, E2BIG, and may go on', async () => {
    const { path } = await newOpenDoor(echo)
    const near = await newRawSession(path, 0)
    const piece = Buffer.alloc(65_536)
    const packet = { sequence: 1, status: 0, length: 0, descriptors: 0 }
    const more = encodeHeader({ ...packet, type: Type.more })
    await near.send([encodeHeader({ ...packet, type: Type.call, length: 2 ** 28 + 1 }), piece])
    for (let sent = piece.length; sent < 2 ** 28; sent += piece.length) await near.send([more, piece])
    await near.send([more, piece.subarray(0, 1)])
    const refused = own((await near.recv({ timeout: 20_000 }))!)
    expect(decodeHeader(refused.data)).toMatchObject({ sequence: 1, status: -7 })
    await near.send([encodeHeader({ ...packet, sequence: 2, type: Type.call, length: 1 }), Buffer.from('x')])
    const answer = own((await near.recv({ timeout: 20_000 }))!)
    expect(decodeHeader(answer.data)).toMatchObject({ sequence: 2, status: 0, length: 1 })
  })

  test('that never reads does not stand in the way of others', async () => {
    const { path, client } = await newOpenDoor(() => Buffer.alloc(200_000))
    const near = await newRawSession(path, 0)
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
  ])('123: %s', async (_, answer, code) => {
    const before = countOpen()
    const path = serve(answer)
    expect(await codeOf(() => openDoor(path, { timeout: 50 }))).toBe(code)
    expect(countOpen()).toBeLessThanOrEqual(before + 3) // the listener, its socket, and the page of the test
  })
})

test('124: a hello of another version of the protocol is EBADF', async () => {
  const { path } = newDoor(echo)
  const real = own((await own(await FdSocket.connect(path, { type: 'seqpacket' })).recv())!)
  const opens = async (hello: Buffer): Promise<string> => {
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    await near.send(hello, [real.fds[0]!])
    return codeOf(() => own(DoorClient.from(Fd.from(far.take()), { timeout: 0 })))
  }
  expect(await opens(real.data)).toBe('no error')
  expect(await opens(Buffer.from(real.data).fill(2, 3, 4))).toBe('EBADF')
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
