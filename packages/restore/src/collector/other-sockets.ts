import { FdType } from '../images/messages.ts'
import type { Diagnosis, PacketDiagnosis, PacketRing } from './diagnosis.ts'
import { binding } from './binding.ts'
import type { FileInit } from './file-list.ts'
import type { Findings } from './findings.ts'
import type { Namespaces } from './namespaces.ts'
import { placeOf, titleOf, type OpenFile } from './open-file.ts'
import { ownerOf } from './owner.ts'
import { addressOf } from './socket-address.ts'
import {
  bytesOption,
  numberOption,
  SO_PROTOCOL,
  SO_TYPE,
  socketOptionsOf,
  SOL_SOCKET,
} from './socket-options.ts'

const SOL_NETLINK = 270
const NETLINK_LIST_MEMBERSHIPS = 9
const TCP_ESTABLISHED = 1
const TCP_CLOSE = 7
const SOL_PACKET = 263

export interface SocketParts {
  readonly findings: Findings
  readonly diagnosis: Diagnosis
  readonly namespaces: Namespaces
}

function checkQueue(file: OpenFile, findings: Findings): void {
  if (binding.hasInput(file.number) !== 1) return
  findings.lose({ reason: 'queue', ...placeOf(file), message: `messages wait in ${titleOf(file)}` })
}

/** Groups that a netlink socket is in: a bit each. */
function groupsOf(socket: number): number[] {
  const memory = bytesOption(socket, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, 256) ?? Buffer.alloc(0)
  const words = Array.from({ length: memory.length >>> 2 }, (_, at) => memory.readUInt32LE(at * 4))
  while (words.at(-1) === 0) words.pop()
  return words
}

export function netlinkSocket(file: OpenFile, { findings, namespaces }: SocketParts): FileInit {
  const { id, number, info, stats, holder } = file
  const own = addressOf(number, 'own')
  const peer = addressOf(number, 'peer')
  const dstPortid = typeof peer === 'number' ? 0 : peer.readUInt32LE(4)
  const dstGroup = typeof peer === 'number' ? 0 : peer.readUInt32LE(8)
  checkQueue(file, findings)
  const nlsk = {
    id,
    ino: Number(stats.ino),
    protocol: numberOption(number, SOL_SOCKET, SO_PROTOCOL) ?? 0,
    state: dstPortid !== 0 || dstGroup !== 0 ? TCP_ESTABLISHED : TCP_CLOSE,
    flags: info.flags,
    portid: typeof own === 'number' ? 0 : own.readUInt32LE(4),
    groups: groupsOf(number),
    dstPortid,
    dstGroup,
    fown: ownerOf(number),
    opts: socketOptionsOf(number).options,
    nsId: namespaces.idOfNetwork(namespaces.networkOf(number, holder)),
  }
  return { type: FdType.NETLINKSK, id, nlsk }
}

const ringOf = (ring: PacketRing | undefined): PacketRing | undefined =>
  ring === undefined || ring.blockNr === 0 ? undefined : ring

export function packetSocket(file: OpenFile, { findings, diagnosis, namespaces }: SocketParts): FileInit {
  const { id, number, info, stats, holder } = file
  const option = (name: number): number => numberOption(number, SOL_PACKET, name) ?? 0
  const own = addressOf(number, 'own')
  const space = namespaces.networkOf(number, holder)
  const packets = diagnosis.packets(number, space)
  const more: PacketDiagnosis | undefined =
    typeof packets === 'number' ? undefined : packets.get(Number(stats.ino))
  const rx = ringOf(more?.receiveRing)
  const tx = ringOf(more?.sendRing)
  checkQueue(file, findings)
  const psk = {
    id,
    type: numberOption(number, SOL_SOCKET, SO_TYPE) ?? 0,
    // As in sockaddr_ll: in network order.
    protocol: typeof own === 'number' ? 0 : own.readUInt16LE(2),
    flags: info.flags,
    ifindex: typeof own === 'number' ? 0 : own.readInt32LE(4),
    fown: ownerOf(number),
    opts: socketOptionsOf(number).options,
    version: option(10),
    reserve: option(12),
    auxData: option(8) !== 0,
    origDev: option(9) !== 0,
    vnetHdr: option(15) !== 0,
    loss: option(14) !== 0,
    timestamp: option(17),
    copyThresh: option(7),
    mclist: (more?.multicast ?? []).map(({ index, type, addr }) => ({ index, type, addr })),
    ...(option(18) !== 0 && { fanout: option(18) >>> 0 }),
    ...(rx && { rxRing: rx }),
    ...(tx && { txRing: tx }),
    nsId: namespaces.idOfNetwork(space),
  }
  return { type: FdType.PACKETSK, id, psk }
}
