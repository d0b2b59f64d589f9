import { payloadChunks, type QueuedPacket } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import type { StepContext } from '../kind.ts'
import { freshBuffers, makeRoom } from '../socket-options.ts'
import { arrived } from './arrivals.ts'
import { O_CLOEXEC } from '../flags.ts'
import { bound, create } from './listeners.ts'
import { actorOf, connect, inFolder, reachOf } from './names.ts'
import { describe, isStreamLike, type QueuePart, SOCK_DGRAM, type UnixSocket } from './socket.ts'

const AF_UNSPEC = 0
const SOL_SOCKET = 1
const SO_ERROR = 4
const MSG_DONTWAIT = 0x40
const SCM_RIGHTS = 1
/** As much as a message can take of a buffer besides its bytes, and of these. */
const MOST_OVERHEAD = 2048
const MOST_FACTOR = 2

/** The step by which everything that a socket has not read is in its queue again; undefined when there is nothing. */
export function queued(context: StepContext, receiver: UnixSocket): PlanNode | undefined {
  const last = receiver.parts.at(-1)
  return last === undefined ? undefined : sent(context, last)
}

/** The steps by which a socket has sent everything. */
export function sentAll(context: StepContext, sender: UnixSocket): PlanNode[] {
  return sender.sends.map((part) => sent(context, part))
}

/** The step by which a part of a queue has been sent, after those before it. */
function sent(context: StepContext, part: QueuePart): PlanNode {
  const { receiver, place, sender } = part
  return context.shared(`queue of Unix socket ${receiver.file.id}, ${place}`, () => {
    const actor = context.nodeOf((sender ?? receiver).file).task
    return {
      task: actorOf(actor, addressee(part)?.folder),
      label: `queue of ${describe(receiver)}`,
      about: receiver.file,
      run: (step) => {
        const waits = preconditions(step, part).map((node) => step.need(node, 'restored'))
        const files = [receiver, ...(sender === undefined ? [] : [sender])].map(({ file }) => file)
        for (const file of [...files, ...part.messages.flatMap((message) => rightsOf(step, message))])
          waits.push(step.need(step.nodeOf(file), 'open'))
        if (waits.includes(false)) return { status: 1 }
        send(step, part)
        return { status: 0 }
      },
    }
  })
}

/** Steps that have to have been before something can be sent. */
function preconditions(step: StepContext, { receiver, place, sender }: QueuePart): PlanNode[] {
  const before = receiver.parts[place - 1]
  const binding = receiver.origin.kind === 'alone' ? receiver.binding : undefined
  return [
    ...(before === undefined ? [] : [sent(step, before)]),
    ...(sender?.arrival === undefined ? [] : [arrived(step, sender.arrival)]),
    ...(binding === undefined ? [] : [bound(step, binding)]),
    ...(sender !== undefined && isByName(sender) && sender.peer === receiver
      ? [connected(step, sender)]
      : []),
    ...(isLeaver(receiver) ? [left(step, receiver)] : []),
  ]
}

/** Where messages have to be sent to by name, because their sender is connected to nobody, or closed. */
function addressee({ receiver, sender }: QueuePart): ReturnType<typeof reachOf> | undefined {
  if (receiver.origin.kind !== 'alone' || sender?.peer === receiver) return undefined
  const { binding } = receiver
  return binding === undefined ? undefined : reachOf(binding)
}

function send(step: StepContext, part: QueuePart): void {
  const { sender, receiver, messages } = part
  const { ops, slotOf } = step
  const to = addressee(part)
  const isNobody = sender === undefined && receiver.origin.kind === 'alone'
  const slot =
    sender !== undefined
      ? slotOf(sender.file, ops)
      : isNobody
        ? create(ops, SOCK_DGRAM, O_CLOEXEC)
        : (receiver.ghost as Slot)
  if (needsRoom(step, sender ?? receiver, messages)) makeRoom(ops, slot)
  inFolder(ops, to?.folder, step.nodeOf((sender ?? receiver).file).task, () => {
    for (const message of messages) sendOne(step, ops, slot, message, to?.bytes)
  })
  if (isNobody) ops.drop(slot)
}

function sendOne(
  step: StepContext,
  ops: TaskOps,
  slot: Slot,
  message: QueuedPacket,
  to: Uint8Array | undefined,
): void {
  const rights = rightsOf(step, message).map((file) => step.slotOf(file, ops))
  const data = Buffer.concat([...payloadChunks(message.data)])
  ops.send(slot, { data, rights, flags: MSG_DONTWAIT, ...(to === undefined ? {} : { to }) })
}

/** The files whose descriptors go with a message. */
function rightsOf({ model }: StepContext, { entry }: QueuedPacket): File[] {
  return entry.scm
    .filter(({ type }) => type === SCM_RIGHTS)
    .flatMap(({ rights }) => rights.map((id) => model.files.get(id) as File))
}

/** Whether what a socket has to send may be more than a new one can. Then its options are set, whatever they are. */
function needsRoom(step: StepContext, sender: UnixSocket, messages: readonly QueuedPacket[]): boolean {
  const fresh = freshBuffers(step)
  const size = messages.reduce((sum, { entry }) => sum + MOST_FACTOR * entry.length + MOST_OVERHEAD, 0)
  sender.sent += size
  const isMore = fresh === undefined || sender.sent > fresh.sndbuf
  if (isMore) sender.hasRoom = true
  return isMore
}

/**
 * The step by which a datagram socket has its peer. The kernel lets it connect only to a socket that has no peer, or this
 * one (unix_may_send): so all who are connected to a socket come before its own connection.
 */
export function connected(context: StepContext, socket: UnixSocket): PlanNode {
  return context.shared(`peer of Unix socket ${socket.file.id}`, () => {
    const peer = socket.peer as UnixSocket
    const { binding } = peer
    const { task } = context.nodeOf(socket.file)
    return {
      task: actorOf(task, binding === undefined ? undefined : reachOf(binding).folder),
      label: `${describe(socket)} as a client of ${describe(peer)}`,
      about: socket.file,
      run: (step) => {
        const waits = beforePeer(step, socket).map((node) => step.need(node, 'restored'))
        waits.push(step.need(step.nodeOf(socket.file), 'open'))
        waits.push(binding === undefined || step.need(bound(step, binding), 'restored'))
        if (waits.includes(false)) return { status: 1 }
        const slot = step.slotOf(socket.file, step.ops)
        if (binding !== undefined) connect(step.ops, slot, binding, task)
        else connectOutside(step.ops, slot, peer)
        return { status: 0 }
      },
    }
  })
}

/** To a socket of another process, under its own name. */
function connectOutside(ops: TaskOps, slot: Slot, { address }: UnixSocket): void {
  const bytes = address?.bytes ?? new Uint8Array()
  ops.call('connect', [{ slot }, { bytes }, bytes.length])
}

/** What a socket does, and what is done to it, while it has no peer. */
function beforePeer(step: StepContext, socket: UnixSocket): PlanNode[] {
  const { clients, peer } = socket
  const queue = socket.parts.some(({ sender }) => sender !== peer) ? queued(step, socket) : undefined
  return [
    ...clients
      .filter((client) => client !== peer && isByName(client))
      .map((client) => connected(step, client)),
    ...(isLeaver(socket) ? [left(step, socket)] : []),
    ...(queue === undefined ? [] : [queue]),
  ]
}

/** Whether a socket gets its peer by connect(2), and the peer need not listen. */
export function isByName(socket: UnixSocket): boolean {
  const { origin, peer } = socket
  return peer !== undefined && !isStreamLike(socket) && (origin.kind === 'alone' || isLeaver(socket))
}

export function isLeaver(socket: UnixSocket): boolean {
  const { origin } = socket
  return origin.kind === 'pair' && origin.pair.leaver === socket
}

/** The step by which one half has left its pair. The other half is told by an error, which nobody is to see. */
export function left(context: StepContext, leaver: UnixSocket): PlanNode {
  return context.shared(`end of the pair of Unix socket ${leaver.file.id}`, () => {
    const stayer = leaver.clients[0] as UnixSocket
    return {
      task: context.nodeOf(leaver.file).task,
      label: `end of the pair of ${describe(leaver)}`,
      about: leaver.file,
      run: (step) => {
        const { ops, need, nodeOf, slotOf } = step
        const queue = queued(step, stayer)
        const waits = [
          need(nodeOf(leaver.file), 'open'),
          need(nodeOf(stayer.file), 'open'),
          queue === undefined || need(queue, 'restored'),
        ]
        if (waits.includes(false)) return { status: 1 }
        disconnect(ops, slotOf(leaver.file, ops))
        clearError(ops, slotOf(stayer.file, ops))
        return { status: 0 }
      },
    }
  })
}

/** Takes a datagram socket's peer away. */
export function disconnect(ops: TaskOps, slot: Slot): void {
  const bytes = Buffer.alloc(16)
  bytes.writeUInt16LE(AF_UNSPEC)
  ops.call('connect', [{ slot }, { bytes }, bytes.length])
}

function clearError(ops: TaskOps, slot: Slot): void {
  ops.call('getsockopt', [{ slot }, SOL_SOCKET, SO_ERROR, { scratch: 0 }, ops.store(4)])
}
