import { FdType, SkShutdown } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { PlanNode } from '../../plan/node.ts'
import type { Slot } from '../../program/op.ts'
import { changeable, F_SETFL, O_CLOEXEC, O_NONBLOCK } from '../flags.ts'
import type { FileKind, OpenContext, OpenResult } from '../kind.ts'
import { hasOwner, restoreOwner } from '../owner.ts'
import {
  freshBuffers,
  restoreSocketOptions,
  setOption,
  SO_PASSCRED,
  SO_REUSEADDR,
  SOL_SOCKET,
} from '../socket-options.ts'
import { accept, arrived } from './arrivals.ts'
import { checkUnixSocket } from './check.ts'
import { pathsGivenBack } from './coexistence.ts'
import { bound, create, listen, roomFor } from './listeners.ts'
import { connect } from './names.ts'
import { connected, disconnect, isByName, isLeaver, left, queued, sentAll } from './queues.ts'
import {
  CLOSE,
  describe,
  ESTABLISHED,
  isStreamLike,
  SOCK_DGRAM,
  type Pair,
  type UnixSocket,
} from './socket.ts'
import { unixOf } from './unix.ts'

const AF_UNIX = 1

/**
 * Unix sockets: pairs, listeners, connections, datagram sockets, with what is in their queues. Each is made as it was
 * made the first time, so that the kernel knows the same of it: by socketpair(2), or by connect(2) and accept(2) at a
 * listener of the same name, though that may be closed and its path deleted.
 */
export const unixKind: FileKind = {
  name: 'Unix socket',
  types: [FdType.UNIXSK],
  describe: (file, situation) => describe(unixOf(situation).sockets.of(file)),
  check: checkUnixSocket,
  open(context) {
    const socket = unixOf(context).sockets.of(context.file)
    if (context.slot !== undefined) return finish(context, socket, context.slot)
    const newFd = make(context, socket)
    if (newFd === undefined) return { status: 1 }
    if (hasEarlyCredentials(socket)) setOption(context.ops, newFd, [SOL_SOCKET, SO_PASSCRED], 1)
    if (!isUntouched(socket)) {
      pathsGivenBack(context)
      return { status: 1, newFd }
    }
    finishState(context, socket, newFd)
    return { status: hasOwner(socket.entry.fown) ? 1 : 0, newFd }
  },
}

/** Makes a socket, or says that it cannot be made yet. */
function make(context: OpenContext, socket: UnixSocket): Slot | undefined {
  const { origin, entry } = socket
  const flags = (entry.flags & O_NONBLOCK) | (context.cloexec ? O_CLOEXEC : 0)
  switch (origin.kind) {
    case 'pair':
      return makeHalf(context, socket, origin.pair)
    case 'accepted': {
      const slot = accept(context, origin.arrival, flags)
      if (slot !== undefined && origin.arrival.client === undefined)
        socket.ghost = ghostOf(context, arrived(context, origin.arrival))
      return slot
    }
    case 'alone':
    case 'outside':
      return create(context.ops, entry.type, flags)
  }
}

/** The client of a connection whose client is closed: it can still send what it has sent. */
function ghostOf({ ops }: OpenContext, { task, slot }: PlanNode): Slot {
  const maker = task?.index ?? 0
  return maker === ops.task ? (slot as Slot) : ops.fetch(maker, slot as Slot)
}

function makeHalf(context: OpenContext, socket: UnixSocket, { maker, other }: Pair): Slot | undefined {
  const { ops, need, nodeOf } = context
  if (socket !== maker) {
    const node = nodeOf(maker.file)
    if (!need(node, 'open')) return undefined
    const slot = maker.otherHalf as Slot
    const opener = node.task?.index ?? 0
    return opener === ops.task ? slot : ops.fetch(opener, slot)
  }
  const [own, second] = ops.pair('socketpair', [
    AF_UNIX,
    socket.entry.type | commonFlags(maker, other),
    0,
    'pair',
  ])
  if (other === undefined) maker.ghost = second
  else maker.otherHalf = second
  return own
}

/** Both halves get the same flags. */
function commonFlags({ entry }: UnixSocket, other: UnixSocket | undefined): number {
  return entry.flags & (other?.entry.flags ?? 0) & O_NONBLOCK
}

/**
 * Whether a socket asks for credentials before its queue is filled, so that they are with the messages. One without a
 * name would be given one when it connects or sends a datagram (unix_autobind).
 */
function hasEarlyCredentials(socket: UnixSocket): boolean {
  const { entry, origin, messages, sends } = socket
  if (!entry.opts.soPasscred || messages.length === 0 || origin.kind === 'alone') return false
  return isStreamLike(socket) || (!isLeaver(socket) && sends.length === 0)
}

/** Everything but its making, when all that is done with it is done. */
function finish(context: OpenContext, socket: UnixSocket, slot: Slot): OpenResult {
  if (!socket.isFinished) {
    if (!isDone(context, socket)) return { status: 1 }
    finishState(context, socket, slot)
  }
  return restoreOwner(context, socket.entry.fown)
}

/** Whether nothing is done with a socket but that it is made: of most of them, and of many. */
function isUntouched({ origin, binding, parts, sends }: UnixSocket): boolean {
  const isPair = origin.kind === 'pair' && origin.pair.leaver === undefined
  return isPair && binding === undefined && parts.length === 0 && sends.length === 0
}

function isDone(context: OpenContext, socket: UnixSocket): boolean {
  const waits = [
    ...stepsOf(context, socket).map((node) => context.need(node, 'restored')),
    // What is accepted gets the options of the listener.
    ...acceptedBy(socket).map((file) => context.need(context.nodeOf(file), 'open')),
  ]
  return !waits.includes(false)
}

/** The last one that a listener has accepted, for it comes after the others. */
function acceptedBy({ rendezvous }: UnixSocket): File[] {
  const arrivals = rendezvous?.arrivals
  const last = arrivals?.findLast(({ accepted }) => accepted !== undefined)?.accepted
  return last === undefined ? [] : [last.file]
}

/** All steps that use a socket. */
function stepsOf(context: OpenContext, socket: UnixSocket): PlanNode[] {
  const { binding } = socket
  const queue = queued(context, socket)
  const last = socket.rendezvous?.arrivals.at(-1)
  return [
    ...(binding === undefined ? [] : [bound(context, binding)]),
    ...(socket.arrival === undefined ? [] : [arrived(context, socket.arrival)]),
    ...(last === undefined ? [] : [arrived(context, last)]),
    ...(isByName(socket) ? [connected(context, socket)] : []),
    ...(isLeaver(socket) ? [left(context, socket)] : []),
    ...(queue === undefined ? [] : [queue]),
    ...sentAll(context, socket),
    // Their connections change its state.
    ...(isStreamLike(socket)
      ? []
      : socket.clients.filter(isByName).map((client) => connected(context, client))),
  ]
}

function finishState(context: OpenContext, socket: UnixSocket, slot: Slot): void {
  const { ops } = context
  const { rendezvous, entry, ghost } = socket
  if (ghost !== undefined) ops.drop(ghost)
  if (rendezvous !== undefined && roomFor(rendezvous) !== entry.backlog) listen(ops, slot, entry.backlog)
  if (!isStreamLike(socket)) finishDatagramState(context, socket)
  restoreSocketOptions(ops, slot, entry.opts, socket.hasRoom ? undefined : freshBuffers(context))
  if (entry.opts.reuseaddr) setOption(ops, slot, [SOL_SOCKET, SO_REUSEADDR], 1)
  if (entry.shutdown !== SkShutdown.NONE) ops.call('shutdown', [{ slot }, entry.shutdown - 1])
  const flags = entry.flags & changeable
  if (flags !== flagsFromMaking(socket)) ops.call('fcntl', [{ slot }, F_SETFL, flags])
  socket.isFinished = true
}

/**
 * A datagram socket is "established" from when somebody connects to it, and not any more when one of its clients has
 * left it. Where those who did so are gone, somebody does it for them.
 */
function finishDatagramState(context: OpenContext, socket: UnixSocket): void {
  const { entry, peer, origin, clients, binding } = socket
  if (peer !== undefined || origin.kind !== 'alone' || binding === undefined) return
  const isWrong = entry.state === ESTABLISHED ? clients.length === 0 : clients.length > 0
  if (!isWrong) return
  const { ops } = context
  const visitor = create(ops, SOCK_DGRAM, O_CLOEXEC)
  connect(ops, visitor, binding, context.task)
  if (entry.state === CLOSE) disconnect(ops, visitor)
  ops.drop(visitor)
}

/** What it was made with. */
function flagsFromMaking({ entry, origin }: UnixSocket): number {
  if (origin.kind !== 'pair') return entry.flags & O_NONBLOCK
  return commonFlags(origin.pair.maker, origin.pair.other)
}
