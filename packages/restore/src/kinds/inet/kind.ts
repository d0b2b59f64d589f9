import { FdType, type InetSkEntry, type TcpStream } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { Slot } from '../../program/op.ts'
import { O_NONBLOCK } from '../flags.ts'
import type { FileKind, OpenContext } from '../kind.ts'
import { restoreOwner } from '../owner.ts'
import {
  freshBuffers,
  restoreSocketOptions,
  setOption,
  SO_BROADCAST,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SOL_SOCKET,
} from '../socket-options.ts'
import { destinationOf, endpointText, isAny, sourceOf } from './address.ts'
import { checkInetSocket } from './check.ts'
import {
  connectSocket,
  fillConnection,
  openConnection,
  peerOf,
  releaseConnection,
  streamOf,
} from './connection.ts'
import { restoreIpOptions, restoreTcpOptions } from './options.ts'
import { allBound, lendingOf } from './ports.ts'
import { isConnection, isTcp, protocolText, SOCK_DGRAM, STATE, stateText } from './protocol.ts'
import { bindSocket, newSocket, shutDown } from './socket.ts'

const SHUTDOWN_BOTH = 3

const entryOf = (file: File): InetSkEntry => file.entry.isk as InetSkEntry

/** Sockets of IPv4 and IPv6: TCP, UDP and UDP-Lite, ping sockets, raw ones. */
export const inetKind: FileKind = {
  name: 'internet socket',
  types: [FdType.INETSK],
  isShareable: () => true,
  describe,
  check: checkInetSocket,
  open(context) {
    const { file, slot, once } = context
    const stream = isConnection(entryOf(file)) ? streamOf(file, context) : undefined
    if (slot === undefined) return { status: 1, newFd: begin(context, stream) }
    const finished = once('finished internet sockets', () => new Set<File>())
    if (!finished.has(file)) {
      if (!mayFinish(context, stream)) return { status: 1 }
      finish(context, slot, stream)
      finished.add(file)
    }
    return restoreOwner(context, entryOf(file).fown)
  },
}

function describe(file: File): string {
  const entry = entryOf(file)
  const { state, srcPort } = entry
  const local = srcPort === 0 && isAny(sourceOf(entry)) ? 'unbound' : endpointText(sourceOf(entry))
  const remote = entry.dstPort === 0 ? '' : ` to ${endpointText(destinationOf(entry))}`
  const how = isTcp(entry) ? `, ${stateText(state) ?? `state ${state}`}` : ''
  return `${protocolText(entry)} socket ${local}${remote}${how}`
}

/** The socket has its address, and, in repair mode, its peer. */
function begin(context: OpenContext, stream: TcpStream | undefined): Slot {
  const { file, ops } = context
  const entry = entryOf(file)
  if (stream !== undefined) return openConnection(context, file, stream)
  const slot = newSocket(context, entry, (entry.flags & O_NONBLOCK) !== 0)
  // A dump that was told to close connections has no more of them.
  if (isConnection(entry)) return slot
  const lending = lendingOf(file, context)
  if (entry.opts.reuseaddr || lending.reuseaddr) setOption(ops, slot, [SOL_SOCKET, SO_REUSEADDR], 1)
  if (entry.opts.soReuseport || lending.reuseport) setOption(ops, slot, [SOL_SOCKET, SO_REUSEPORT], 1)
  bindSocket(ops, slot, entry)
  return slot
}

function mayFinish(context: OpenContext, stream: TcpStream | undefined): boolean {
  const { file, need, nodeOf } = context
  if (stream !== undefined) {
    const peer = peerOf(file, context)
    return peer === undefined || peer === file || need(nodeOf(peer), 'open')
  }
  return (
    entryOf(file).state !== STATE.listen ||
    !lendingOf(file, context).isShared ||
    need(allBound(context), 'restored')
  )
}

function finish(context: OpenContext, slot: Slot, stream: TcpStream | undefined): void {
  const { file, ops, task, afterCommit } = context
  const entry = entryOf(file)
  if (stream !== undefined) {
    fillConnection(context, file, slot, stream)
    afterCommit(task, (late) => {
      releaseConnection(late, slot, entry, stream.entry)
    })
    return
  }
  if (entry.state === STATE.listen) ops.call('listen', [{ slot }, entry.backlog])
  if (!isTcp(entry) && (entry.dstPort !== 0 || !isAny(destinationOf(entry)))) connectDatagrams(context, slot)
  takeBack(context, slot)
  restoreIpOptions(ops, slot, entry)
  restoreSocketOptions(ops, slot, entry.opts, isTcp(entry) ? undefined : freshBuffers(context))
  if (isTcp(entry)) restoreTcpOptions(ops, slot, entry)
  shutDown(ops, slot, isConnection(entry) ? SHUTDOWN_BOTH : entry.shutdown)
}

/** Nobody is asked, so it may be done at once. A broadcast address is a peer only of a socket that may send to it. */
function connectDatagrams({ ops, file }: OpenContext, slot: Slot): void {
  const entry = entryOf(file)
  const isBroadcast = entry.opts.soBroadcast
  if (entry.type === SOCK_DGRAM) setOption(ops, slot, [SOL_SOCKET, SO_BROADCAST], 1)
  connectSocket(ops, slot, entry)
  if (entry.type === SOCK_DGRAM && !isBroadcast) setOption(ops, slot, [SOL_SOCKET, SO_BROADCAST], 0)
}

/** Ends what was lent for the taking of the address. */
function takeBack(context: OpenContext, slot: Slot): void {
  const { file, ops, task, afterOpens } = context
  const { reuseaddr, reuseport, isShared } = lendingOf(file, context)
  const end = (late = ops): void => {
    if (reuseaddr) setOption(late, slot, [SOL_SOCKET, SO_REUSEADDR], 0)
    if (reuseport) setOption(late, slot, [SOL_SOCKET, SO_REUSEPORT], 0)
  }
  if (!reuseaddr && !reuseport) return
  if (isShared) afterOpens(task, end)
  else end()
}
