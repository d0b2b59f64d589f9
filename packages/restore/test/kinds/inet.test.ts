import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { plan } from '../../src/plan/plan.ts'
import { run } from '../../src/run/run.ts'
import { Namespace, type Dumped, type Known, type Seen } from '../fixtures/namespace.ts'
import { SocketSet } from '../fixtures/socket-set.ts'

const LISTEN = 10
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_REUSEPORT = 15

let namespace: Namespace
let pids: readonly number[] = []

beforeEach(async () => {
  namespace = await Namespace.make()
})

afterEach(async () => {
  for (const pid of pids) process.kill(pid, 'SIGKILL')
  pids = []
  await namespace[Symbol.asyncDispose]()
})

/** Restores the processes in the namespace, with new ids. They end with the test. */
const restore = async (set: SocketSet): Promise<void> => {
  const { program } = plan(set.images, { keepPids: false, networkNamespace: namespace.path })
  const held = await run(program).commit()
  pids = held.pids.slice(1)
}

/** A restored socket, of the process with this place among those of the set. */
const taken = (place: number, fd: number): Promise<Known> => namespace.ask('take', pids[place], fd)

const reuse = async (socket: Known): Promise<number[]> => [
  await namespace.ask<number>('option', socket, SOL_SOCKET, SO_REUSEADDR),
  await namespace.ask<number>('option', socket, SOL_SOCKET, SO_REUSEPORT),
]

const look = (socket: Known): Promise<Seen> => namespace.ask('look', socket)

describe('listeners', () => {
  test('several at one port, in several processes', async () => {
    const set = new SocketSet()
    for (const pid of [100, 101, 102]) {
      const id = set.inet({ state: LISTEN, srcPort: 8000, backlog: 5, opts: { soReuseport: true } })
      set.hold(pid, 3, id)
    }
    await restore(set)
    for (const place of [0, 1, 2]) {
      const socket = await taken(place, 3)
      expect(await look(socket)).toMatchObject({ local: ['127.0.0.1', 8000], state: LISTEN })
      expect(await reuse(socket)).toEqual([0, 1])
    }
  })

  test('beside a socket that is only bound to the same address, whoever comes first', async () => {
    const set = new SocketSet()
    const options = { opts: { reuseaddr: true } }
    set.hold(100, 3, set.inet({ state: LISTEN, srcPort: 8000, backlog: 5, ...options }))
    set.hold(100, 4, set.inet({ srcPort: 8000, ...options }))
    set.hold(101, 3, set.inet({ srcPort: 8000, ...options }))
    await restore(set)
    expect(await look(await taken(0, 3))).toMatchObject({ state: LISTEN })
    expect(await look(await taken(0, 4))).toMatchObject({ local: ['127.0.0.1', 8000], state: 7 })
    expect(await reuse(await taken(1, 3))).toEqual([1, 0])
  })
})

/** A connection: the client's side and the other. */
interface Connection {
  readonly client: Known
  readonly accepted: Known
}

const connect = async (host = '127.0.0.1', rcvbuf = 0): Promise<Connection> => {
  const [listener, client = 0, accepted = 0] = await namespace.ask<Known[]>('pair', host, 0, rcvbuf)
  await namespace.ask('close', listener)
  return { client, accepted }
}

const states = async (...sockets: Known[]): Promise<(number | undefined)[]> => {
  const seen: (number | undefined)[] = []
  for (const socket of sockets) seen.push((await look(socket)).state)
  return seen
}

/** Dumps both sides, ends the sockets and restores them in two processes. */
const move = async (
  { client, accepted }: Connection,
  change: (dumped: Dumped) => Dumped = (dumped) => dumped,
): Promise<Connection> => {
  const [one, other] = await namespace.ask<[Dumped, Dumped]>('dump', client, accepted)
  await namespace.ask('close', client, accepted)
  const set = new SocketSet()
  set.hold(100, 5, set.connection(change(one)))
  set.hold(101, 6, set.connection(change(other)))
  await restore(set)
  return { client: await taken(0, 5), accepted: await taken(1, 6) }
}

describe('connections', () => {
  for (const host of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    test(`with data that was received, at ${host}`, async () => {
      const connection = await connect(host)
      await namespace.ask('send', connection.client, 100_000, 'a')
      await namespace.ask('send', connection.accepted, 10, 'b')
      const before = await look(connection.client)
      const { client, accepted } = await move(connection)
      expect(await look(client)).toEqual(before)
      expect(await namespace.ask('receive', client, 10)).toBe('b'.repeat(10))
      expect(await namespace.ask('receive', accepted, 100_000)).toBe('a'.repeat(100_000))
      await namespace.ask('send', accepted, 1000, 'c')
      expect(await namespace.ask('receive', client, 1000)).toBe('c'.repeat(1000))
      await namespace.ask('send', client, 1000, 'd')
      expect(await namespace.ask('receive', accepted, 1000)).toBe('d'.repeat(1000))
    })
  }

  test('whose receiver takes no more: what was not sent waits, and goes on when it reads', async () => {
    const connection = await connect('127.0.0.1', 32_768)
    const sent = await namespace.ask<number>('send', connection.client, 400_000, 'a')
    const before = await look(connection.client)
    expect(before.unsent).toBeGreaterThan(0)
    const { client, accepted } = await move(connection)
    expect((await look(client)).unsent).toBe(before.unsent)
    expect(await namespace.ask('receive', accepted, sent)).toBe('a'.repeat(sent))
    expect(await look(client)).toMatchObject({ unacknowledged: 0 })
  })

  test('one half of which has ended: the rest still comes, and the end after it', async () => {
    const connection = await connect()
    await namespace.ask('send', connection.client, 5, 'a')
    await namespace.ask('shut', connection.client, 1)
    // The end is acknowledged with these at the latest.
    await namespace.ask('send', connection.accepted, 3, 'b')
    expect(await namespace.ask('receive', connection.client, 3)).toBe('bbb')
    expect(await states(connection.client, connection.accepted)).toEqual([5, 8])
    const { client, accepted } = await move(connection)
    expect(await states(client, accepted)).toEqual([5, 8])
    expect(await namespace.ask('receive', accepted, 100)).toBe('aaaaa')
    await namespace.ask('send', accepted, 7, 'b')
    await namespace.ask('close', accepted)
    for (const pid of pids.slice(1)) process.kill(pid, 'SIGKILL')
    pids = pids.slice(0, 1)
    expect(await namespace.ask('receive', client, 100)).toBe('bbbbbbb')
  })
})
