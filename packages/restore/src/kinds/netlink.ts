import { FdType, type NetlinkSkEntry } from '../images/index.ts'
import type { Problem } from '../errors.ts'
import type { File } from '../model/file.ts'
import type { TaskOps } from '../plan/task-ops.ts'
import type { Slot } from '../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from './flags.ts'
import type { FileKind, OpenContext, Situation } from './kind.ts'
import { isElsewhere, networkOf } from './network.ts'
import { hasOwner, restoreOwner } from './owner.ts'
import { checkSocketOptions, freshBuffers, restoreSocketOptions, setOption } from './socket-options.ts'
import { setStatusFlags } from './status-flags.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOL_NETLINK = 270
const NETLINK_ADD_MEMBERSHIP = 1
/** NETLINK_CONNECTED, the state of one that has a destination. */
const CONNECTED = 1
/** Groups that an address can have; others are joined one by one. */
const GROUPS_OF_ADDRESS = 32

const entryOf = (file: File): NetlinkSkEntry => file.entry.nlsk as NetlinkSkEntry

/**
 * Sockets of netlink(7). Whether it was made as SOCK_RAW or as SOCK_DGRAM is not in the image, and makes no difference
 * but to who asks for it.
 */
export const netlinkKind: FileKind = {
  name: 'netlink socket',
  types: [FdType.NETLINKSK],
  isShareable: () => true,
  describe: (file) => `netlink socket of protocol ${entryOf(file).protocol}, port ${entryOf(file).portid}`,
  check: checkNetlink,
  open(context) {
    const { file, slot } = context
    const entry = entryOf(file)
    if (slot !== undefined) return restoreOwner(context, entry.fown)
    return { status: hasOwner(entry.fown) ? 1 : 0, newFd: openNetlink(context, entry) }
  },
}

function* checkNetlink(file: File, situation: Situation): Iterable<Problem> {
  const { portid, protocol, groups, dstGroup, opts } = entryOf(file)
  const complain = (reason: string, message: string): Problem => ({
    reason,
    message,
    image: 'files.img',
    file: file.id,
  })
  yield* checkSocketOptions(opts, file.id, situation)
  if (dstGroup > GROUPS_OF_ADDRESS)
    yield complain(
      'bad-address',
      `netlink socket ${file.id} sends to group ${dstGroup}, and 32 is the last that it can`,
    )
  if (groups.some((word) => word !== 0) && protocol > 31)
    yield complain(
      'unknown-socket',
      `netlink socket ${file.id} is of protocol ${protocol}, and 31 is the last`,
    )
  if (isElsewhere(entryOf(file), situation))
    yield complain(
      'several-namespaces',
      `netlink socket ${file.id} is in another network namespace than others of these images, and all are restored in one`,
    )
  if (isTaken(entryOf(file), situation)) {
    const message = `port ${portid} of netlink protocol ${protocol} is in use here: socket ${file.id} gets another one`
    situation.warn({ reason: 'port-taken', message, image: 'files.img', file: file.id })
  }
}

/** The kernel gives the process id as a port, so it is often taken, and hardly anybody cares which one it is. */
function isTaken({ portid, protocol }: NetlinkSkEntry, situation: Situation): boolean {
  return portid !== 0 && networkOf(situation).netlinkPorts.has(`${protocol}:${portid}`)
}

function openNetlink(context: OpenContext, entry: NetlinkSkEntry): Slot {
  const { ops, cloexec } = context
  const { flags, protocol, portid, groups, state, dstPortid, dstGroup, opts } = entry
  const type = SOCK_RAW | (flags & O_NONBLOCK) | (cloexec ? O_CLOEXEC : 0)
  const slot = ops.open('socket', [AF_NETLINK, type, protocol])
  setStatusFlags(ops, slot, flags, flags & O_NONBLOCK)
  if (portid !== 0) {
    const address = addressOf(isTaken(entry, context) ? 0 : portid, groups[0] ?? 0)
    ops.call('bind', [{ slot }, { bytes: address }, address.length])
  }
  // Without a port no address has told of the first groups.
  joinGroups(ops, slot, portid === 0 ? groups : [0, ...groups.slice(1)])
  if (state === CONNECTED) {
    const address = addressOf(dstPortid, dstGroup === 0 ? 0 : 2 ** (dstGroup - 1))
    ops.call('connect', [{ slot }, { bytes: address }, address.length])
  }
  restoreSocketOptions(ops, slot, opts, freshBuffers(context))
  return slot
}

function joinGroups(ops: TaskOps, slot: Slot, words: readonly number[]): void {
  for (const [place, word] of words.entries())
    for (let bit = 0; bit < 32; bit++)
      if ((word & (1 << bit)) !== 0)
        setOption(ops, slot, [SOL_NETLINK, NETLINK_ADD_MEMBERSHIP], 32 * place + bit + 1)
}

/** A struct sockaddr_nl. */
function addressOf(port: number, groups: number): Uint8Array {
  return new Uint8Array(Uint32Array.from([AF_NETLINK, port, groups]).buffer)
}
