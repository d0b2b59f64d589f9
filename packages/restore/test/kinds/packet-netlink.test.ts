import { expect, test } from 'vitest'
import { ask, look, refusals, restore, taken, describeInNamespace } from '../fixtures/restored-sockets.ts'
import { SocketSet } from '../fixtures/socket-set.ts'

const SOL_PACKET = 263
const PACKET_AUXDATA = 8
const PACKET_VERSION = 10
const PACKET_RESERVE = 12
const PACKET_FANOUT = 18
const SOL_NETLINK = 270
const NETLINK_LIST_MEMBERSHIPS = 9
/** htons(ETH_P_ALL) */
const ALL = 0x0300
/** Of the loopback device. */
const LO = 1

describeInNamespace('packet sockets', () => {
  test('with a ring, of a group, receiving for an address', async () => {
    const set = new SocketSet()
    const page = 4096
    const rxRing = {
      blockSize: page,
      blockNr: 2,
      frameSize: 2048,
      frameNr: 4,
      retireTmo: 0,
      sizeofPriv: 0,
      features: 0,
    }
    const packet = { protocol: ALL, ifindex: LO, version: 1, reserve: 8, auxData: true, rxRing, fanout: 9 }
    const mclist = [{ index: LO, type: 1, addr: new Uint8Array() }]
    set.hold(100, 3, set.packet({ ...packet, mclist }))
    set.hold(100, 4, set.packet(packet))
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).local?.slice(0, 2)).toEqual(['lo', 3])
    const options: number[] = []
    for (const option of [PACKET_VERSION, PACKET_RESERVE, PACKET_AUXDATA, PACKET_FANOUT])
      options.push(await ask('option', socket, SOL_PACKET, option))
    expect(options).toEqual([1, 8, 1, 9])
  })

  test('that receive nothing yet, and of the old kind', async () => {
    const set = new SocketSet()
    set.hold(100, 3, set.packet({ type: 2 }))
    set.hold(100, 4, set.packet({ type: 10, protocol: ALL, ifindex: LO }))
    await restore(set)
    expect((await look(await taken(0, 3))).local?.slice(0, 2)).toEqual(['', 0])
    // Type, protocol, device.
    const rows = await ask<string>('read_file', '/proc/self/net/packet')
    expect(rows).toMatch(/ 10 +0003 +1 /)
    expect(rows).toMatch(/ 2 +0000 +0 /)
  })

  test('that cannot be', () => {
    const set = new SocketSet()
    set.hold(100, 3, set.packet({ type: 7 }))
    set.hold(100, 4, set.packet({ version: 3 }))
    expect(refusals(set)).toEqual(['unknown-socket', 'unknown-socket'])
  })
})

describeInNamespace('netlink sockets', () => {
  test('with a port and groups, the later ones too', async () => {
    const set = new SocketSet()
    set.hold(100, 3, set.netlink({ state: 7, portid: 12345, groups: [1, 1 << 2] }))
    await restore(set)
    const socket = await taken(0, 3)
    expect((await look(socket)).local).toEqual([12345, 1])
    // A bit for each group.
    expect(await ask('option_bytes', socket, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, 8)).toBe(
      '0100000004000000',
    )
  })

  test('with a destination', async () => {
    const set = new SocketSet()
    set.hold(100, 3, set.netlink({ state: 1, portid: 77, dstPortid: 88, dstGroup: 0 }))
    set.hold(100, 4, set.netlink({ state: 1, portid: 78, dstPortid: 0, dstGroup: 3 }))
    await restore(set)
    expect((await look(await taken(0, 3))).peer).toEqual([88, 0])
    expect((await look(await taken(0, 4))).peer).toEqual([0, 4])
  })

  test('whose port is taken: it gets another, and the plan says so', async () => {
    const other = await ask<number>('make', 16, 3)
    await ask('bind', other, 4321, 0)
    const set = new SocketSet()
    set.hold(100, 3, set.netlink({ state: 7, portid: 4321, groups: [1] }))
    const warnings = await restore(set)
    expect(warnings).toEqual(['port-taken'])
    const [port, groups] = (await look(await taken(0, 3))).local ?? []
    expect(port).not.toBe(4321)
    expect(groups).toBe(1)
  })
})
