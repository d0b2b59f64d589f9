import { expect, test } from 'vitest'
import type { Dumped, Known } from '../fixtures/namespace.ts'
import {
  ask,
  connect,
  dump,
  look,
  refusals,
  restore,
  taken,
  describeInNamespace,
} from '../fixtures/restored-sockets.ts'
import { SocketSet } from '../fixtures/socket-set.ts'

const LISTEN = 10
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_REUSEPORT = 15
const SO_BROADCAST = 6
const SO_PRIORITY = 12
const SO_PROTOCOL = 38
const SOL_IP = 0
const IP_HDRINCL = 3
const IP_FREEBIND = 15
const SOL_TCP = 6
const SOL_IPV6 = 41
const IPV6_RECVPKTINFO = 49
const IPV6_FREEBIND = 78
const SOL_ICMPV6 = 58
const ICMPV6_FILTER = 1
const SOL_RAW = 255
const ICMP_FILTER = 1
const LOOPBACK = 0x0100007f
const EADDRINUSE = -98
const EPIPE = -32

const reuse = async (socket: Known): Promise<number[]> => [
  await ask<number>('option', socket, SOL_SOCKET, SO_REUSEADDR),
  await ask<number>('option', socket, SOL_SOCKET, SO_REUSEPORT),
]

describeInNamespace('listeners', () => {
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

  test('that several processes share, with a socket at the same port', async () => {
    const set = new SocketSet()
    const shared = set.inet({ state: LISTEN, srcPort: 8003, backlog: 5 })
    set.hold(100, 3, shared).hold(101, 7, shared).hold(102, 3, shared)
    set.hold(102, 4, set.inet({ srcPort: 8003, srcAddr: [word(127, 0, 0, 2)] }))
    await restore(set)
    const client = await ask<Known>('make', 2, 1)
    await ask('connect', client, '127.0.0.1', 8003)
    await ask('accept', await taken(1, 7))
    expect(await reuse(await taken(2, 3))).toEqual([0, 0])
    expect(await reuse(await taken(2, 4))).toEqual([0, 0])
  })

  test('whose connections do not have SO_REUSEADDR, and itself neither', async () => {
    const [listener = 0, client = 0, accepted = 0] = await ask<Known[]>('pair')
    const { local } = await look(listener)
    const [one] = await dump(accepted)
    await ask('close', listener)
    const set = new SocketSet()
    if (one !== undefined) set.hold(100, 4, set.connection(one))
    set.hold(101, 3, set.inet({ state: LISTEN, srcPort: Number(local?.[1]), backlog: 5 }))
    await restore(set)
    const restored = await taken(1, 3)
    expect(await reuse(restored)).toEqual([0, 0])
    expect(await reuse(await taken(0, 4))).toEqual([0, 0])
    // The port is theirs: another listener is refused as before.
    const other = await ask<Known>('make', 2, 1)
    await expect(ask('bind', other, ...(local ?? []))).rejects.toMatchObject({ errno: EADDRINUSE })
    await ask('send', client, 3, 'a')
    expect(await ask('receive', await taken(0, 4), 3)).toBe('aaa')
    await ask('connect', await ask('make', 2, 1), ...(local ?? []))
    await ask('accept', restored)
  })

  test('of both versions of IP at one port, and of IPv6 alone', async () => {
    const set = new SocketSet()
    const any = { family: 10, srcAddr: [0, 0, 0, 0], dstAddr: [0, 0, 0, 0], state: LISTEN, backlog: 5 }
    set.hold(100, 3, set.inet({ ...any, srcPort: 8001, v6only: false }))
    set.hold(100, 4, set.inet({ ...any, srcPort: 8002, v6only: true }))
    set.hold(100, 5, set.inet({ state: LISTEN, srcPort: 8002, srcAddr: [0], backlog: 5 }))
    await restore(set)
    for (const [port, fd] of [
      [8001, 3],
      [8002, 5],
    ] as const) {
      const client = await ask<Known>('make', 2, 1)
      await ask('connect', client, '127.0.0.1', port)
      await ask('accept', await taken(0, fd))
    }
  })

  test('where nobody is yet: an address that is not here', async () => {
    const set = new SocketSet()
    const address = [word(192, 0, 2, 1)]
    set.hold(
      100,
      3,
      set.inet({ state: LISTEN, srcPort: 80, srcAddr: address, backlog: 5, ipOpts: { freebind: true } }),
    )
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).local).toEqual(['192.0.2.1', 80])
    expect(await ask('option', socket, SOL_IP, IP_FREEBIND)).toBe(1)
  })

  test('that are bound to a device, with options of TCP', async () => {
    const set = new SocketSet()
    const tcpOpts = { nodelay: true, cork: true, keepcnt: 3, keepidle: 40, keepintvl: 5 }
    const opts = { soBoundDev: 'lo', soKeepalive: true }
    set.hold(100, 3, set.inet({ state: LISTEN, srcPort: 8000, backlog: 5, tcpOpts, opts }))
    await restore(set)
    const socket = await taken(0, 3)
    const options: number[] = []
    for (const option of [1, 3, 6, 4, 5]) options.push(await ask('option', socket, SOL_TCP, option))
    expect(options).toEqual([1, 1, 3, 40, 5])
    expect(await ask('option_bytes', socket, SOL_SOCKET, 25, 16)).toBe(Buffer.from('lo\0').toString('hex'))
  })
})

describeInNamespace('UDP', () => {
  const udp = { type: 2, proto: 17 }
  const peer = { ...udp, state: 1, srcPort: 8010, dstPort: 8011, dstAddr: [LOOPBACK] }

  test('with a peer, options and a direction that has ended', async () => {
    const set = new SocketSet()
    const ipOpts = { tos: 16, ttl: 7, pktinfo: true }
    set.hold(100, 3, set.inet({ ...peer, ipOpts, opts: { soBroadcast: true }, shutdown: 2 }))
    await restore(set)
    const socket = await taken(0, 3)
    expect(await look(socket)).toEqual({ local: ['127.0.0.1', 8010], peer: ['127.0.0.1', 8011] })
    const options: number[] = []
    for (const option of [1, 2, 8]) options.push(await ask('option', socket, SOL_IP, option))
    expect(options).toEqual([16, 7, 1])
    // As in the image, although the kernel derives another one from the type of service.
    expect(await ask('option', socket, SOL_SOCKET, SO_PRIORITY)).toBe(0)
    expect(await ask('option', socket, SOL_SOCKET, SO_BROADCAST)).toBe(1)
    await expect(ask('send', socket, 1)).rejects.toMatchObject({ errno: EPIPE })
  })

  test('whose peer is all of a network', async () => {
    const set = new SocketSet()
    set.hold(100, 3, set.inet({ ...peer, dstAddr: [word(127, 255, 255, 255)] }))
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).peer).toEqual(['127.255.255.255', 8011])
    expect(await ask('option', socket, SOL_SOCKET, SO_BROADCAST)).toBe(0)
  })

  test('several at one address, which no longer allow it', async () => {
    const set = new SocketSet()
    for (const fd of [3, 4]) set.hold(100, fd, set.inet({ ...udp, srcPort: 8010 }))
    set.hold(101, 3, set.inet({ ...udp, srcPort: 8010, opts: { reuseaddr: true } }))
    await restore(set)
    expect(await reuse(await taken(0, 3))).toEqual([0, 0])
    expect(await reuse(await taken(0, 4))).toEqual([0, 0])
    expect(await reuse(await taken(1, 3))).toEqual([1, 0])
  })

  test('of IPv6, and UDP-Lite', async () => {
    const set = new SocketSet()
    const address = { srcAddr: [0, 0, 0, word(0, 0, 0, 1)], dstAddr: [0, 0, 0, 0] }
    set.hold(100, 3, set.inet({ ...udp, family: 10, srcPort: 8010, ...address, ipOpts: { pktinfo: true } }))
    set.hold(100, 4, set.inet({ ...udp, proto: 136, srcPort: 8010 }))
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).local).toEqual(['::1', 8010, 0, 0])
    expect(await ask('option', socket, SOL_IPV6, IPV6_RECVPKTINFO)).toBe(1)
    expect(await ask('option', socket, SOL_IPV6, IPV6_FREEBIND)).toBe(0)
    expect(await ask('option', await taken(0, 4), SOL_SOCKET, SO_PROTOCOL)).toBe(136)
  })
})

describeInNamespace('raw and ping sockets', () => {
  test('with headers and a filter, bound and connected', async () => {
    const set = new SocketSet()
    const raw = { hdrincl: true, icmpvFilter: [0xfffffffe] }
    set.hold(
      100,
      3,
      set.inet({
        type: 3,
        proto: 1,
        srcPort: 1,
        srcAddr: [LOOPBACK],
        dstAddr: [LOOPBACK],
        dstPort: 1,
        state: 1,
        ipOpts: { raw },
      }),
    )
    const filter = [1, 2, 3, 4, 5, 6, 7, 8]
    const v6 = { family: 10, srcAddr: [0, 0, 0, 0], dstAddr: [0, 0, 0, 0] }
    set.hold(100, 4, set.inet({ ...v6, type: 3, proto: 58, ipOpts: { raw: { icmpvFilter: filter } } }))
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).peer?.[0]).toBe('127.0.0.1')
    expect((await look(socket)).local?.[0]).toBe('127.0.0.1')
    expect(await ask('option_bytes', socket, SOL_RAW, ICMP_FILTER, 4)).toBe('feffffff')
    expect(await ask('option', socket, SOL_IP, IP_HDRINCL)).toBe(1)
    const bytes = Buffer.from(Uint32Array.from(filter).buffer).toString('hex')
    expect(await ask('option_bytes', await taken(0, 4), SOL_ICMPV6, ICMPV6_FILTER, 32)).toBe(bytes)
  })

  test('a ping socket has the identifier that it had', async () => {
    await ask('write_setting', '/proc/sys/net/ipv4/ping_group_range', '0 0')
    const set = new SocketSet()
    set.hold(100, 3, set.inet({ type: 2, proto: 1, srcPort: 77 }))
    await restore(set)
    expect((await look(await taken(0, 3))).local).toEqual(['127.0.0.1', 77])
  })
})

describeInNamespace('what is refused before anything is made', () => {
  test('a port that is in use, by a listener, by UDP, by the same connection', async () => {
    const [, client = 0] = await ask<Known[]>('pair', '127.0.0.1', 8020)
    await ask('bind', await ask('make', 2, 2), '127.0.0.1', 8021)
    const [, port] = (await look(client)).local ?? []
    const set = new SocketSet()
    set.hold(100, 3, set.inet({ state: LISTEN, srcPort: 8020, srcAddr: [0], backlog: 5 }))
    set.hold(100, 4, set.inet({ type: 2, proto: 17, srcPort: 8021 }))
    const stream = { state: 1, srcPort: Number(port), dstPort: 8020, dstAddr: [LOOPBACK] }
    set.hold(100, 5, set.inet(stream))
    // This one may be able to share it, and this one is of another protocol.
    set.hold(100, 6, set.inet({ state: LISTEN, srcPort: 8020, backlog: 5, opts: { soReuseport: true } }))
    set.hold(100, 7, set.inet({ type: 2, proto: 17, srcPort: 8020 }))
    expect(refusals(set)).toEqual(['port-taken', 'port-taken', 'port-taken', 'stream-missing'])
  })

  test('a queue that is not as long as it is said to be, and a window that cannot be', async () => {
    const { client, accepted } = await connect()
    const [one, other] = await dump(client, accepted)
    const set = new SocketSet()
    if (one === undefined || other === undefined) throw new Error('nothing was dumped')
    const stream = (change: Partial<Dumped['stream']>): Dumped => ({
      ...one,
      stream: { ...one.stream, ...change },
    })
    set.hold(100, 3, set.connection(stream({ inqLen: 7 })))
    set.hold(100, 4, set.connection(stream({ unsqLen: 7 })))
    set.hold(100, 5, set.connection(stream({ sndWscale: 15 })))
    set.hold(100, 6, set.connection(stream({ maxWindow: 0 })))
    expect(refusals(set)).toEqual(['queue-length', 'queue-length', 'bad-window', 'bad-window'])
  })

  test('a socket that is none, and one that is elsewhere', () => {
    const set = new SocketSet()
    set.hold(100, 3, set.inet({ family: 1 }))
    set.hold(100, 4, set.inet({ family: 10, srcAddr: [1] }))
    set.hold(100, 5, set.inet({ state: 12 }))
    set.hold(100, 6, set.inet({ nsId: 1 }))
    set.hold(100, 7, set.inet({ nsId: 2 }))
    set.hold(100, 8, set.inet({ opts: { soBoundDev: 'nowhere0' } }))
    expect(refusals(set)).toEqual([
      'unknown-socket',
      'bad-address',
      'unknown-state',
      'several-namespaces',
      'device-missing',
    ])
  })

  test('a namespace that is none', () => {
    const set = new SocketSet()
    set.hold(100, 3, set.inet({}))
    expect(refusals(set, '/run/netns/nowhere')).toEqual(['no-namespace'])
    expect(refusals(set, '/etc/passwd')).toEqual(['no-namespace'])
  })
})

/** A word of an address, as it lies in memory. */
function word(...bytes: number[]): number {
  return new Uint32Array(Uint8Array.from(bytes).buffer)[0] ?? 0
}
