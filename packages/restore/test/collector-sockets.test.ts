import { expect, test } from 'vitest'
import { collect, type Problem } from '../src/index.ts'
import { textOf, View } from './fixtures/sets.ts'
import { Target, without } from './fixtures/target.ts'

const network = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN')
const raw = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_NET_RAW')
const spaces = without('CAP_SYS_PTRACE', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN')

const loopback = 0x0100007f

const unixNames = (view: View, ...numbers: number[]): string[] =>
  numbers.map((fd) => textOf(view.file('usk', fd).name))

test.skipIf(network !== '')(`Unix sockets: peers, names, states and options${network}`, async () => {
  const target = await Target.of('unix')
  const view = new View(await collect([target.pid]))

  expect(view.file('usk', 30)).toMatchObject({ type: 1, state: 1, peer: view.file('usk', 31).ino, flags: 2 })
  expect(view.file('usk', 31).peer).toBe(view.file('usk', 30).ino)
  expect(view.file('usk', 33)).toMatchObject({ type: 5, shutdown: 2 })
  expect(view.file('usk', 32)).toMatchObject({ type: 5, shutdown: 1 })
  expect(view.file('usk', 34)).toMatchObject({
    state: 10,
    backlog: 5,
    peer: 0,
    nameDir: target.folder,
    filePerms: { mode: 0o140700 },
  })
  expect(unixNames(view, 34, 35, 36)).toEqual(['./sub/listener\0', '', './sub/listener\0'])
  expect(view.file('usk', 36).peer).toBe(view.file('usk', 35).ino)
  expect(unixNames(view, 39, 40, 41)).toEqual(['\0abstract-of-tables', 'sender\0', 'removed\0'])
  expect(view.file('usk', 40).peer).toBe(view.file('usk', 39).ino)
  expect(view.file('usk', 41)).toMatchObject({ deleted: true, state: 7, nameDir: target.folder })
  expect(view.file('usk', 41).opts.soFilter).toEqual([0xffffffff00000006n])
  expect(view.file('usk', 42)).toMatchObject({ peer: 0, shutdown: 3, state: 1 })
  expect(view.file('usk', 42).opts).toMatchObject({
    soSndbuf: 200_000,
    soRcvTmoSec: 3n,
    soRcvTmoUsec: 500_000n,
    soPasscred: true,
    soBufLock: 1,
  })
})

test.skipIf(network !== '')(`Unix sockets: connections that wait, in their order${network}`, async () => {
  const target = await Target.of('unix')
  const view = new View(await collect([target.pid]))
  const listener = view.file('usk', 34).ino
  // 38 has connected before 37.
  const waiting = view.set.files.flatMap(({ usk }) => (usk?.peer === listener ? [usk.id] : []))
  expect(waiting).toEqual([view.descriptor(38).id, view.descriptor(37).id])
})

test.skipIf(network !== '')(`Unix sockets: what is queued, files in flight included${network}`, async () => {
  const target = await Target.of('unix')
  const view = new View(await collect([target.pid]))
  const queueOf = (fd: number): object[] =>
    view.set.packets.flatMap(({ entry, data }) =>
      entry.idFor === view.descriptor(fd).id
        ? [{ bytes: textOf(data), rights: entry.scm[0]?.rights ?? [], sender: textOf(entry.sender) }]
        : [],
    )
  const [first, second] = queueOf(31) as { bytes: string; rights: number[] }[]
  // Bytes before those with rights cannot be told from them.
  expect(first?.bytes).toBe('plainRights')
  expect(second).toMatchObject({ bytes: 'after', rights: [] })
  const [file = 0, event = 0, socket = 0] = first?.rights ?? []
  expect(view.part('reg', file)).toMatchObject({ name: target.path('sent'), pos: 4n })
  expect(view.part('efd', event)).toMatchObject({ counter: 77n })
  expect(socket).toBe(view.descriptor(30).id)
  expect(queueOf(33)).toMatchObject([{ bytes: 'packet one' }, { bytes: '' }, { bytes: 'packet three' }])
  expect(queueOf(39)).toEqual([{ bytes: 'from a name', rights: [], sender: 'sender\0' }])
  expect(queueOf(42)).toMatchObject([{ bytes: 'last words' }])

  expect(await target.flow()).toEqual([
    'peek=2',
    'peek31=-1',
    '33=packet one',
    '33=',
    '33=packet three',
    '39=from a name',
    '31=plainRights',
    '31=after',
    '42=last words',
    '36=onwards',
  ])
})

test.skipIf(network !== '')(`TCP, UDP and netlink; the connections go on${network}`, async () => {
  const target = await Target.of('inet')
  const view = new View(await collect([target.pid]))
  const { set } = view
  const listener = view.file('isk', 50)
  expect(listener).toMatchObject({
    family: 2,
    type: 1,
    proto: 6,
    state: 10,
    backlog: 17,
    srcAddr: [loopback],
  })
  expect(listener.opts.reuseaddr).toBe(true)
  const client = view.file('isk', 51)
  expect(client).toMatchObject({
    state: 1,
    dstPort: listener.srcPort,
    dstAddr: [loopback],
    tcpOpts: { nodelay: true },
  })
  const server = view.file('isk', 52)
  expect(server).toMatchObject({ srcPort: listener.srcPort, dstPort: client.srcPort })
  const [here, there] = [set.streams.get(client.ino), set.streams.get(server.ino)]
  expect([textOf(here?.inq), textOf(there?.inq)]).toEqual(['to the client', 'to the server'])
  expect(here?.entry).toMatchObject({ outqLen: 0, unsqLen: 0, inqSeq: there?.entry.outqSeq })
  expect(here?.entry.outqSeq).toBe(there?.entry.inqSeq)
  expect(here?.entry.sndWscale).toBe(there?.entry.rcvWscale)
  expect(here?.entry.mssClamp).toBeGreaterThan(0)
  expect(view.file('isk', 53)).toMatchObject({
    family: 10,
    state: 7,
    srcPort: 0,
    v6only: false,
    srcAddr: [0, 0, 0, 0],
  })
  const bound = view.file('isk', 54)
  expect(bound).toMatchObject({ type: 2, proto: 17, state: 7, srcAddr: [loopback], dstPort: 0 })
  expect(view.file('isk', 55)).toMatchObject({ state: 1, dstPort: bound.srcPort, ipOpts: { tos: 16 } })
  expect(view.file('isk', 55).opts.soBroadcast).toBe(true)
  // One side has sent its FIN.
  expect([view.file('isk', 57), view.file('isk', 58)]).toMatchObject([
    { state: 5, shutdown: 2 },
    { state: 8, shutdown: 1 },
  ])
  const half = set.streams.get(view.file('isk', 58).ino)
  expect(textOf(half?.inq)).toBe('the end')
  // One has more to send than the other takes: what is in flight, and what waits.
  const [full, stalled] = [63, 64].map((fd) => set.streams.get(view.file('isk', fd).ino))
  expect(full?.inq).toHaveLength(full?.entry.inqLen ?? -1)
  expect(stalled?.outq).toHaveLength(stalled?.entry.outqLen ?? -1)
  expect(textOf(full?.inq)).toMatch(/^00000000\n00000001\n/)
  expect(stalled?.entry.unsqLen).toBeGreaterThan(0)
  expect(stalled?.entry.outqLen).toBeGreaterThanOrEqual(stalled?.entry.unsqLen ?? Infinity)
  const sentUpTo = ((stalled?.entry.outqSeq ?? 0) - (stalled?.entry.outqLen ?? 0)) >>> 0
  expect(sentUpTo).toBe(full?.entry.inqSeq)
  expect(view.file('nlsk', 59)).toMatchObject({ protocol: 0, portid: target.pid, groups: [1] })

  expect(await target.flow()).toEqual([
    'reuse=10',
    '52=to the server',
    '51=to the client',
    '52=once more',
    '51=and back',
    '58=the end',
    '57=answered',
    '54=',
    '63=1',
  ])
})

test.skipIf(network !== '')(`a TCP connection is not read while its process runs${network}`, async () => {
  const target = await Target.of('inet')
  const places = [51, 52, 57, 58, 63, 64].map((fd) => ({ reason: 'not-stopped', fd }))
  await expect(collect([target.pid], { stop: 'none' })).rejects.toMatchObject({ problems: places })
  expect(await target.flow()).toContain('52=to the server')
})

test.skipIf(network !== '')(`datagrams and pending connections are refused, or lost${network}`, async () => {
  const target = await Target.of('datagram')
  await expect(collect([target.pid])).rejects.toMatchObject({
    problems: [{ reason: 'queue', pid: target.pid, fd: 54 }],
  })
  const warnings: Problem[] = []
  const view = new View(await collect([target.pid], { lossy: true, onWarning: (one) => warnings.push(one) }))
  expect(warnings).toMatchObject([{ reason: 'queue', fd: 54 }])
  expect(view.file('isk', 54).state).toBe(7)
  expect(await target.flow()).toContain('54=datagram')

  const other = await Target.of('pending')
  await expect(collect([other.pid])).rejects.toMatchObject({
    problems: [{ reason: 'pending-connection', fd: 50 }],
  })
})

test.skipIf(raw !== '')(`raw and packet sockets${raw}`, async () => {
  const target = await Target.of('raw')
  const view = new View(await collect([target.pid], { lossy: true }))
  expect(view.file('isk', 61)).toMatchObject({ type: 3, proto: 1, ipOpts: { raw: { icmpvFilter: [0] } } })
  expect(view.file('psk', 62)).toMatchObject({
    type: 3,
    protocol: 0,
    version: 1,
    auxData: true,
    origDev: false,
  })
})

test.skipIf(spaces !== '')(`sockets of another network namespace${spaces}`, async () => {
  const target = await Target.of('elsewhere')
  const view = new View(await collect([target.pid]))
  const { netNsId } = view.task().ids ?? {}
  expect(netNsId).not.toBe(view.set.inventory.rootIds?.netNsId)
  expect(view.file('usk', 30)).toMatchObject({ nsId: netNsId, peer: view.file('usk', 31).ino })
  expect(textOf(view.set.packets[0]?.data)).toBe('elsewhere')
  expect(unixNames(view, 39)).toEqual(['\0abstract-of-tables'])
  expect(view.file('psk', 62).nsId).toBe(netNsId)
})

test.skipIf(network !== '')(`what cannot be had is told as a whole${network}`, async () => {
  const target = await Target.of('unsupported')
  await expect(collect([target.pid])).rejects.toMatchObject({
    name: 'RestoreError',
    code: 'EINVAL',
    problems: [
      { reason: 'unsupported-kind', pid: target.pid, fd: 114 },
      { reason: 'external-peer', pid: target.pid, fd: 111 },
    ],
  })
})

test.skipIf(network !== '')(
  `a peer outside of the tree is one that is marked, where that is asked for${network}`,
  async () => {
    const target = await Target.of('external')
    const view = new View(await collect([target.pid], { external: true }))
    const socket = view.file('usk', 111)
    const peer = view.set.files.find(({ usk }) => usk?.ino === socket.peer)
    expect(peer?.usk).toMatchObject({ uflags: 1, type: 1, peer: 0 })
    expect(view.table().some(({ id }) => id === peer?.id)).toBe(false)
  },
)
