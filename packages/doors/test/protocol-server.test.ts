import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fstatSync, readFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { FdSocket, memfd } from '@x/fdpass'
import { describe, expect, test } from 'vitest'
import {
  DOOR_PARAM_DATA_MAX,
  DOOR_PARAM_DATA_MIN,
  DOOR_PARAM_DESC_MAX,
  openDoor,
  openDoorSync,
  type DoorClient,
} from '../src/index.ts'
import { decodeHeader, encodeHeader, Type } from '../src/wire.ts'
import { compiled } from './fixtures/compiled.ts'
import { codeOf, countOpen, newFolder, own } from './fixtures/disposal.ts'

const DATA_MAX = 2 * 1024 * 1024

/** A server in C, which has nothing of this package; its first line tells that it is ready. */
class Server implements Disposable {
  readonly path = join(newFolder(), 'door')
  readonly process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor() {
    const child = spawn(compiled('server.c'), [this.path], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.process = child
    this.#lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  }

  /** The next line that it prints. */
  async next(): Promise<unknown> {
    return (await this.#lines.next()).value
  }

  async kill(): Promise<void> {
    const exited = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await exited
  }

  [Symbol.dispose](): void {
    this.process.kill('SIGKILL')
  }
}

const newServer = async (): Promise<{ server: Server; client: DoorClient }> => {
  const server = own(new Server())
  expect(await server.next()).toBe('ready')
  return { server, client: own(await openDoor(server.path)) }
}

/** Which file a descriptor is of. */
const identityOf = ({ fd }: { fd: number }): string => {
  const { dev, ino } = fstatSync(fd)
  return `${dev}:${ino}`
}

describe('121: a server in C, without the library', () => {
  test('121: tells of itself and its limits', async () => {
    const { server, client } = await newServer()
    expect(client.info()).toMatchObject({ target: server.process.pid, attributes: 0, cookie: 12n })
    expect(client.getParam(DOOR_PARAM_DATA_MIN)).toBe(0)
    expect(client.getParam(DOOR_PARAM_DATA_MAX)).toBe(DATA_MAX)
    expect(client.getParam(DOOR_PARAM_DESC_MAX)).toBe(1024)
    const other = own(openDoorSync(server.path))
    expect(other.info()).toEqual(client.info())
  })

  test.each([0, 16, 65_536, 65_537, 200_000, 2 ** 20])('121: gives %i bytes back', async (size) => {
    const { client } = await newServer()
    const data = randomBytes(size)
    expect((await client.call(data)).data.equals(data)).toBe(true)
    expect(client.callSync(data).data.equals(data)).toBe(true)
  })

  test.each([1, 253, 254, 1024])('121: gives %i descriptors back, each in its place', async (count) => {
    const { client } = await newServer()
    const files = Array.from({ length: count }, () => own(memfd('x')))
    const wanted = files.map(identityOf)
    await client.call('x')
    client.callSync('x')
    const before = countOpen()
    for (const answer of [await client.call('x', { fds: files }), client.callSync('x', { fds: files })]) {
      expect(answer.fds.map(identityOf)).toEqual(wanted)
      answer.close()
    }
    // One more at most: what the thread waits with for all of its sockets is made at the first wait.
    expect(countOpen()).toBeLessThanOrEqual(before + 1)
  })

  test('121: gives bytes and descriptors back that take several packets, both', async () => {
    const { client } = await newServer()
    const data = randomBytes(300_000)
    const file = own(memfd('x', Buffer.from('inside')))
    const answer = own(await client.call(data, { fds: Array.from({ length: 600 }, () => file) }))
    expect(answer.data.equals(data)).toBe(true)
    expect(answer.fds.length).toBe(600)
    expect(readFileSync(`/proc/self/fd/${answer.fds[599]!.fd}`, 'utf8')).toBe('inside')
  })

  test('121, 47: answers several calls at once, in its own order', async () => {
    const { server } = await newServer()
    // One session, whose calls the server holds together.
    const client = own(await openDoor(server.path, { sharedMemory: false }))
    const order: number[] = []
    const held = [1, 2, 3].map(async (number) => {
      await client.call('hold')
      order.push(number)
    })
    const large = Array.from({ length: 8 }, () => randomBytes(150_000))
    const answers = await Promise.all(large.map((data) => client.call(data)))
    expect(answers.every((answer, at) => answer.data.equals(large[at]!))).toBe(true)
    expect(order).toEqual([])
    await client.call('let go')
    await Promise.all(held)
    expect(order).toEqual([3, 2, 1])
  })

  test('121, 63: knows who calls', async () => {
    const { client } = await newServer()
    expect((await client.call('pid')).data.toString()).toBe(String(process.pid))
    expect(client.callSync('pid').data.toString()).toBe(String(process.pid))
  })

  test('121, 83: is not stuck by calls that are given up', async () => {
    const { server, client } = await newServer()
    const controller = new AbortController()
    const call = codeOf(() => client.call('hold', { signal: controller.signal }))
    expect(await server.next()).toBe('held')
    controller.abort()
    expect(await call).toBe('EINTR')
    expect((await client.call('next')).data.toString()).toBe('next')
    expect(client.callSync('next').data.toString()).toBe('next')
  })

  test('121, 49: refuses what is too much: the client sees it before, and the server for itself', async () => {
    const { server, client } = await newServer()
    expect(await codeOf(() => client.call(Buffer.alloc(DATA_MAX + 1)))).toBe('ENOBUFS')
    expect(await codeOf(() => client.callSync(Buffer.alloc(DATA_MAX + 1)))).toBe('ENOBUFS')
    expect((await client.call(Buffer.alloc(DATA_MAX))).data.length).toBe(DATA_MAX)
    const door = own(await FdSocket.connect(server.path, { type: 'seqpacket' }))
    const [near, far] = FdSocket.pair({ type: 'seqpacket' })
    own(near)
    const header = { sequence: 1, status: 0, length: 0, descriptors: 0 }
    await door.send(encodeHeader({ ...header, type: Type.session, descriptors: 1 }), [far])
    far.close()
    const piece = Buffer.alloc(65_536)
    await near.send([encodeHeader({ ...header, type: Type.call, length: DATA_MAX + 1 }), piece])
    for (let at = piece.length; at <= DATA_MAX; at += piece.length) {
      await near.send([
        encodeHeader({ ...header, type: Type.more }),
        piece.subarray(0, Math.min(piece.length, DATA_MAX + 1 - at)),
      ])
    }
    const answer = own((await near.recv({ timeout: 5000 }))!)
    expect(decodeHeader(answer.data)).toMatchObject({ type: Type.reply, sequence: 1, status: -105 }) // ENOBUFS
  })

  test('121, 86: is EINTR when it is killed in a call, and EBADF after', async () => {
    const { server, client } = await newServer()
    const call = codeOf(() => client.call('hold'))
    expect(await server.next()).toBe('held')
    await server.kill()
    expect(await call).toBe('EINTR')
    expect(await codeOf(() => client.call('next'))).toBe('EBADF')
    expect(await codeOf(() => client.callSync('next'))).toBe('EBADF')
    expect(await codeOf(() => openDoor(server.path))).toBe('EBADF')
  })
})
