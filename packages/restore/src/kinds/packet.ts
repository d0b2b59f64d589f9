import { FdType, has, type PacketMclist, type PacketRing, type PacketSockEntry } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import { hasCapability } from '../plan/machine.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { isElsewhere } from './network.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { checkSocketOptions, freshBuffers, restoreSocketOptions, setOption } from './socket-options.ts'
import { setStatusFlags } from './status-flags.ts'

const AF_PACKET = 17
const SOCK_DGRAM = 2
const SOCK_RAW = 3
/** The old kind, which is bound to the name of a device. */
const SOCK_PACKET = 10
const CAP_NET_RAW = 13n

const SOL_PACKET = 263
const PACKET_ADD_MEMBERSHIP = 1
const PACKET_RX_RING = 5
const PACKET_COPY_THRESH = 7
const PACKET_AUXDATA = 8
const PACKET_ORIGDEV = 9
const PACKET_VERSION = 10
const PACKET_RESERVE = 12
const PACKET_TX_RING = 13
const PACKET_LOSS = 14
const PACKET_VNET_HDR = 15
const PACKET_TIMESTAMP = 17
const PACKET_FANOUT = 18

const LAST_VERSION = 2
/** Bytes of an address of a device (MAX_ADDR_LEN). */
const LONGEST_ADDRESS = 32
const SIOCGIFNAME = 0x8910
const NO_FANOUT = 2 ** 32 - 1

const entryOf = (file: File): PacketSockEntry => file.entry.psk as PacketSockEntry

/** Sockets of packet(7). What they had received and not been asked for is not in the image, nor what lies in rings. */
export const packetKind: FileKind = {
  name: 'packet socket',
  types: [FdType.PACKETSK],
  isShareable: () => true,
  describe: (file) => `packet socket of protocol ${protocolText(entryOf(file))}`,
  check: checkPacket,
  open(context) {
    const { file, slot } = context
    const entry = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, entry.fown)
    return { status: hasOwner(entry.fown) ? 1 : 0, newFd: openPacket(context, entry) }
  },
}

/** The protocol is in the order of the network. */
function protocolText({ protocol }: PacketSockEntry): string {
  return `0x${(((protocol & 0xff) << 8) | (protocol >>> 8)).toString(16)}`
}

function* checkPacket(file: File, situation: Situation): Iterable<Problem> {
  const { type, version, mclist, opts } = entryOf(file)
  const complain = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
  })
  yield* checkSocketOptions(opts, file.id, situation)
  if (![SOCK_DGRAM, SOCK_RAW, SOCK_PACKET].includes(type))
    yield complain(
      'unknown-socket',
      `packet socket ${file.id} is of the type ${type}, and 2, 3 and 10 are those that exist`,
    )
  if (version > LAST_VERSION)
    yield complain(
      'unknown-socket',
      `packet socket ${file.id} has rings of version ${version}, and 2 is the last`,
    )
  for (const { addr } of mclist)
    if (addr.length > LONGEST_ADDRESS)
      yield complain(
        'bad-address',
        `packet socket ${file.id} receives for an address of ${addr.length} bytes, and 32 are the most`,
      )
  if (!situation.once('may make packet sockets', () => hasCapability(CAP_NET_RAW)))
    yield complain('no-privilege', 'a packet socket cannot be made without CAP_NET_RAW: run with it')
  if (isElsewhere(entryOf(file), situation))
    yield complain(
      'several-namespaces',
      `packet socket ${file.id} is in another network namespace than others of these images, and all are restored in one`,
    )
}

function openPacket(context: OpenContext, entry: PacketSockEntry): Slot {
  const { ops, cloexec } = context
  const { type, protocol, flags, ifindex, opts } = entry
  const isOld = type === SOCK_PACKET
  // One that is bound to a device receives nothing of others before.
  const atFirst = ifindex === 0 || isOld ? protocol : 0
  const slot = ops.open('socket', [
    AF_PACKET,
    type | (flags & O_NONBLOCK) | (cloexec ? O_CLOEXEC : 0),
    atFirst,
  ])
  setStatusFlags(ops, slot, flags, flags & O_NONBLOCK)
  if (isOld) {
    if (ifindex !== 0) bindToName(ops, slot, ifindex)
  } else restorePacketOptions(ops, slot, entry)
  restoreSocketOptions(ops, slot, opts, freshBuffers(context))
  return slot
}

/** The device has a name, and the image its number: the kernel puts the name where the address is. */
function bindToName(ops: TaskOps, slot: Slot, ifindex: number): void {
  // A struct ifreq begins 4 bytes from here, with 16 for the name; a struct sockaddr_pkt, 2 bytes before it.
  const begin = ops.store(0, 0, 0, 0, 0, ifindex)
  const at = (offset: number): { scratch: number } => ({ scratch: begin.scratch + offset })
  ops.call('ioctl', [{ slot }, SIOCGIFNAME, at(4)])
  ops.store(AF_PACKET << 16)
  ops.call('bind', [{ slot }, at(2), 16])
}

function restorePacketOptions(ops: TaskOps, slot: Slot, entry: PacketSockEntry): void {
  const { version, reserve, timestamp, copyThresh, auxData, origDev, vnetHdr, loss, fanout, ...rest } = entry
  const set = (option: number, value: number): void => {
    if (value !== 0) setOption(ops, slot, [SOL_PACKET, option], value)
  }
  // A ring has the version and the reserve of its moment.
  set(PACKET_VERSION, version)
  set(PACKET_RESERVE, reserve)
  set(PACKET_VNET_HDR, vnetHdr ? 1 : 0)
  set(PACKET_LOSS, loss ? 1 : 0)
  set(PACKET_TIMESTAMP, timestamp)
  set(PACKET_COPY_THRESH, copyThresh)
  set(PACKET_AUXDATA, auxData ? 1 : 0)
  set(PACKET_ORIGDEV, origDev ? 1 : 0)
  setRing(ops, slot, PACKET_RX_RING, rest.rxRing)
  setRing(ops, slot, PACKET_TX_RING, rest.txRing)
  if (rest.ifindex !== 0) bindToDevice(ops, slot, entry)
  for (const membership of rest.mclist) join(ops, slot, membership)
  // Only one that receives can be of a group.
  if (has(entry, 'fanout') && fanout !== NO_FANOUT) setOption(ops, slot, [SOL_PACKET, PACKET_FANOUT], fanout)
}

/** A struct sockaddr_ll. */
function bindToDevice(ops: TaskOps, slot: Slot, { protocol, ifindex }: PacketSockEntry): void {
  const address = Buffer.alloc(20)
  address.writeUInt16LE(AF_PACKET, 0)
  address.writeUInt16LE(protocol, 2)
  address.writeInt32LE(ifindex, 4)
  ops.call('bind', [{ slot }, { bytes: address }, address.length])
}

/** A struct tpacket_req3, of which other versions look at the first part. */
function setRing(ops: TaskOps, slot: Slot, option: number, ring: PacketRing | undefined): void {
  if (ring === undefined) return
  const { blockSize, blockNr, frameSize, frameNr, retireTmo, sizeofPriv, features } = ring
  const request = [blockSize, blockNr, frameSize, frameNr, retireTmo, sizeofPriv, features]
  const bytes = new Uint8Array(Uint32Array.from(request).buffer)
  ops.call('setsockopt', [{ slot }, SOL_PACKET, option, { bytes }, bytes.length])
}

/** A struct packet_mreq, with an address as long as any can be. */
function join(ops: TaskOps, slot: Slot, { index, type, addr }: PacketMclist): void {
  const bytes = Buffer.alloc(8 + LONGEST_ADDRESS)
  bytes.writeInt32LE(index, 0)
  bytes.writeUInt16LE(type, 4)
  bytes.writeUInt16LE(addr.length, 6)
  bytes.set(addr, 8)
  ops.call('setsockopt', [{ slot }, SOL_PACKET, PACKET_ADD_MEMBERSHIP, { bytes }, bytes.length])
}
