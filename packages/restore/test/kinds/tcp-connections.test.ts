import { expect, test } from 'vitest'
import {
  ask,
  connect,
  dump,
  endLast,
  look,
  move,
  restore,
  revive,
  start,
  states,
  taken,
  describeInNamespace,
} from '../fixtures/restored-sockets.ts'
import { SocketSet } from '../fixtures/socket-set.ts'

describeInNamespace('connections', () => {
  for (const host of ['127.0.0.1', '::1', '::ffff:127.0.0.1']) {
    test(`with data that was received, at ${host}`, async () => {
      const connection = await connect(host)
      await ask('send', connection.client, 100_000, 'a')
      await ask('send', connection.accepted, 10, 'b')
      const before = await look(connection.client)
      const { client, accepted } = await move(connection)
      expect(await look(client)).toEqual(before)
      expect(await ask('receive', client, 10)).toBe('b'.repeat(10))
      expect(await ask('receive', accepted, 100_000)).toBe('a'.repeat(100_000))
      await ask('send', accepted, 1000, 'c')
      expect(await ask('receive', client, 1000)).toBe('c'.repeat(1000))
      await ask('send', client, 1000, 'd')
      expect(await ask('receive', accepted, 1000)).toBe('d'.repeat(1000))
    })
  }

  test('whose receiver takes no more: what was not sent waits, and goes on when it reads', async () => {
    const connection = await connect('127.0.0.1', 32_768)
    const sent = await ask<number>('send', connection.client, 400_000, 'a')
    const before = await look(connection.client)
    expect(before.unsent).toBeGreaterThan(0)
    const { client, accepted } = await move(connection)
    expect((await look(client)).unsent).toBe(before.unsent)
    expect(await ask('receive', accepted, sent)).toBe('a'.repeat(sent))
    expect(await look(client)).toMatchObject({ unacknowledged: 0 })
  })

  test('one half of which has ended: the rest still comes, and the end after it', async () => {
    const connection = await connect()
    await ask('send', connection.client, 5, 'a')
    await ask('shut', connection.client, 1)
    // The end is acknowledged with these at the latest.
    await ask('send', connection.accepted, 3, 'b')
    expect(await ask('receive', connection.client, 3)).toBe('bbb')
    expect(await states(connection.client, connection.accepted)).toEqual([5, 8])
    const { client, accepted } = await move(connection)
    expect(await states(client, accepted)).toEqual([5, 8])
    expect(await ask('receive', accepted, 100)).toBe('aaaaa')
    await ask('send', accepted, 7, 'b')
    await ask('close', accepted)
    await endLast()
    expect(await ask('receive', client, 100)).toBe('bbbbbbb')
  })

  test('both ends of which are on their way', async () => {
    const { client, accepted } = await connect()
    await ask('send', client, 5, 'a')
    const [one, other] = await dump(client, accepted)
    if (one === undefined || other === undefined) throw new Error('nothing was dumped')
    // The client has sent its end and got that of the other, which has not heard of either.
    const closing = {
      ...one,
      socket: { ...one.socket, state: 11 },
      stream: {
        ...one.stream,
        outqSeq: one.stream.outqSeq + 1,
        inqSeq: one.stream.inqSeq + 1,
        rcvWup: one.stream.rcvWup + 1,
      },
    }
    const finWait = {
      ...other,
      socket: { ...other.socket, state: 4 },
      stream: { ...other.stream, outqSeq: other.stream.outqSeq + 1 },
    }
    const moved = await revive(closing, finWait)
    // By now it may be over.
    expect([11, 7]).toContain((await states(moved.client))[0])
    expect(await ask('receive', moved.accepted, 100)).toBe('aaaaa')
    expect(await ask('hung_up', moved.client)).not.toEqual([])
    expect(await ask('hung_up', moved.accepted)).not.toEqual([])
  })

  test('whose last end is on its way', async () => {
    const { client, accepted } = await connect()
    await ask('shut', client, 1)
    await ask('send', accepted, 3, 'b')
    expect(await ask('receive', client, 3)).toBe('bbb')
    await ask('down')
    await ask('shut', accepted, 1)
    const [one, other] = await dump(client, accepted)
    await ask('up')
    expect([one?.socket.state, other?.socket.state]).toEqual([5, 9])
    const moved = await revive(one, other)
    expect([9, 7]).toContain((await states(moved.accepted))[0])
    expect(await ask('receive', moved.client, 100)).toBe('')
    expect(await ask('hung_up', moved.accepted)).not.toEqual([])
  })

  test('whose end has been lost: it is sent again', async () => {
    const { client, accepted } = await connect()
    await ask('down')
    await ask('send', client, 5, 'a')
    await ask('shut', client, 1)
    const [one, other] = await dump(client, accepted)
    await ask('up')
    expect([one?.socket.state, other?.socket.state]).toEqual([4, 1])
    const moved = await revive(one, other)
    expect(await ask('receive', moved.accepted, 100)).toBe('aaaaa')
  })

  test('that was reset: what had come can be read, and then it is over', async () => {
    const { client, accepted } = await connect()
    await ask('send', client, 5, 'a')
    await ask('reset', client)
    const [dumped] = await dump(accepted)
    expect(dumped?.socket.state).toBe(7)
    const set = new SocketSet()
    if (dumped !== undefined) set.hold(100, 5, set.connection(dumped))
    await restore(set)
    const moved = await taken(0, 5)
    expect(await states(moved)).toEqual([7])
    expect(await ask('receive', moved, 100)).toBe('aaaaa')
    await expect(ask('send', moved, 1)).rejects.toMatchObject({ errno: -32 })
  })

  test('that is being opened: it asks again', async () => {
    const [listener = 0, , accepted] = await ask<number[]>('pair', '127.0.0.1', 0)
    const { local } = await look(listener)
    await ask('listen', listener, 0)
    const [first, second] = [await ask<number>('make', 2, 1), await ask<number>('make', 2, 1)]
    await ask('connect', first, ...(local ?? []))
    await ask('begin_connect', second, ...(local ?? []))
    const [dumped] = await dump(second)
    expect(dumped?.socket.state).toBe(2)
    await ask('close', await ask('accept', listener), accepted)
    const set = new SocketSet()
    if (dumped !== undefined) set.hold(100, 5, set.connection(dumped))
    await restore(set)
    const there = await ask<number>('accept', listener)
    await ask('send', there, 5, 'a')
    expect(await ask('receive', await taken(0, 5), 5)).toBe('aaaaa')
  })

  test('that is being opened, and is refused now', async () => {
    const [listener = 0, , accepted = 0] = await ask<number[]>('pair')
    const { local } = await look(listener)
    await ask('listen', listener, 0)
    const [first, second] = [await ask<number>('make', 2, 1), await ask<number>('make', 2, 1)]
    await ask('connect', first, ...(local ?? []))
    await ask('begin_connect', second, ...(local ?? []))
    const [dumped] = await dump(second)
    await ask('close', listener, accepted)
    const set = new SocketSet()
    if (dumped !== undefined) set.hold(100, 5, set.connection(dumped))
    await restore(set)
    const moved = await taken(0, 5)
    expect(await ask('hung_up', moved)).not.toEqual([])
    expect(await states(moved)).toEqual([7])
  })

  test('with its peer outside, which learns of nothing, even when the restore is taken back', async () => {
    const { client, accepted } = await connect()
    await ask('send', accepted, 5, 'a')
    const [dumped] = await dump(client)
    const set = new SocketSet()
    if (dumped !== undefined) set.hold(100, 5, set.connection(dumped))
    const tried = start(set)
    await tried.ready
    await tried.rollback()
    await expect(tried.commit()).rejects.toThrow()
    expect(await states(accepted)).toEqual([1])
    await restore(set)
    const moved = await taken(0, 5)
    expect(await ask('receive', moved, 5)).toBe('aaaaa')
    await ask('send', moved, 5, 'b')
    expect(await ask('receive', accepted, 5)).toBe('bbbbb')
  })

  test('that two processes share', async () => {
    const { client, accepted } = await connect()
    const [dumped] = await dump(client)
    const set = new SocketSet()
    if (dumped === undefined) throw new Error('nothing was dumped')
    const shared = set.connection(dumped)
    await restore(set.hold(100, 5, shared).hold(101, 6, shared))
    await ask('send', await taken(0, 5), 3, 'a')
    await ask('send', await taken(1, 6), 3, 'b')
    expect(await ask('receive', accepted, 6)).toBe('aaabbb')
  })

  test('that was closed by the dump', async () => {
    const { client, accepted } = await connect()
    const [one] = await dump(client, accepted)
    const set = new SocketSet()
    if (one !== undefined) set.hold(100, 5, set.connection(one))
    await restore(set.closeConnections())
    const moved = await taken(0, 5)
    expect(await look(moved)).toMatchObject({ local: ['0.0.0.0', 0], peer: null, state: 7 })
  })
})
