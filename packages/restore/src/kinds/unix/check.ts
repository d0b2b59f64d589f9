import { existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Problem } from '../../errors.ts'
import type { File } from '../../model/file.ts'
import type { Situation } from '../kind.ts'
import { checkSocketOptions, freshBuffers, mayAdminister } from '../socket-options.ts'
import { faultOf, LONGEST_NAME } from './address.ts'
import type { Names } from './names.ts'
import { abstractNames } from './occupant.ts'
import {
  areMutual,
  CLOSE,
  describe,
  ESTABLISHED,
  isStreamLike,
  LISTEN,
  OUTSIDE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
  SOCK_STREAM,
  type Binding,
  type Pair,
  type UnixSocket,
} from './socket.ts'
import { unixOf } from './unix.ts'

/** SCM_MAX_FD. */
const MOST_RIGHTS = 253
const SCM_RIGHTS = 1
const types = new Set([SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET])
const states = new Set([ESTABLISHED, CLOSE, LISTEN])

/** What is wrong with a Unix socket: with what the image says of it, with its name here, with its peer, with its queue. */
export function* checkUnixSocket(file: File, situation: Situation): Iterable<Problem> {
  const socket = unixOf(situation).sockets.of(file)
  for (const [reason, message] of faultsOf(socket, situation))
    yield { reason, message: `${describe(socket)}: ${message}`, image: 'files.img', ...placeIn(file) }
  yield* checkSocketOptions(socket.entry.opts, file.id, situation)
}

function placeIn(file: File): Pick<Problem, 'file' | 'pid' | 'fd'> {
  const [fle] = file.fles
  return { file: file.id, ...(fle === undefined ? {} : { pid: fle.table.owner.pid, fd: fle.fd }) }
}

/** A reason, and what to say. */
type Fault = readonly [string, string]

function* faultsOf(socket: UnixSocket, situation: Situation): Iterable<Fault> {
  yield* entryFaults(socket)
  if (socket.origin.kind === 'outside') yield* outsideFaults(socket, unixOf(situation).names)
  else {
    yield* peerFaults(socket)
    yield* nameFaults(socket, situation)
    yield* queueFaults(socket, situation)
  }
}

function* entryFaults({ entry }: UnixSocket): Iterable<Fault> {
  const { type, state, name, uflags } = entry
  const fault = faultOf(entry)
  if (fault !== undefined) yield ['bad-name', `its name ${fault}`]
  if (!types.has(type)) yield ['unknown-type', `${type} is no type of Unix sockets`]
  if (!states.has(state)) yield ['bad-state', `${state} is no state of Unix sockets`]
  if (state === LISTEN && type === SOCK_DGRAM) yield ['bad-state', 'a datagram socket cannot listen']
  if (state === LISTEN && name.length === 0) yield ['bad-name', 'it listens, and has no name']
  if ((uflags & ~OUTSIDE) !== 0)
    yield ['external-socket', 'it was to be given by whoever restores, which this package does not do']
}

function* outsideFaults({ entry, address, file }: UnixSocket, names: Names): Iterable<Fault> {
  if (file.fles.length > 0 || entry.type !== SOCK_DGRAM || address === undefined)
    yield [
      'external-peer',
      'it is of a process outside of the images: only a datagram socket with a name can be connected to again',
    ]
  else if (address.path !== undefined && names.occupantAt(address.path) !== 'living')
    yield [
      'external-peer',
      'it is of a process outside of the images, and nobody has it now: start that first',
    ]
}

function* peerFaults(socket: UnixSocket): Iterable<Fault> {
  const { entry, peer } = socket
  if (entry.peer === 0) return
  if (peer === undefined) {
    yield [
      'external-peer',
      `it is connected to socket ${entry.peer}, which is of a process outside of the images: dump that process with it, or close the connection before the dump`,
    ]
    return
  }
  if (peer.entry.type !== entry.type)
    yield ['peer-mismatch', `it is connected to ${describe(peer)}, which is of another type`]
  else if (isStreamLike(socket)) {
    const isFine = areMutual(socket, peer) || (peer.entry.state === LISTEN && entry.state === ESTABLISHED)
    if (!isFine) yield ['peer-mismatch', `it is connected to ${describe(peer)}, which is not connected to it`]
  } else {
    const pair = pairOf(socket)
    if (pair !== undefined && pair === pairOf(peer)) return
    if (peer.address === undefined)
      yield ['peer-unnamed', `it is connected to ${describe(peer)}, which has no name to connect to`]
    else if (peer.origin.kind === 'pair')
      yield [
        'peer-mismatch',
        `it is connected to ${describe(peer)}, which was connected to another one from its start`,
      ]
  }
}

function pairOf({ origin }: UnixSocket): Pair | undefined {
  return origin.kind === 'pair' ? origin.pair : undefined
}

function* nameFaults(socket: UnixSocket, situation: Situation): Iterable<Fault> {
  const { names } = unixOf(situation)
  const binding = bindingOf(socket)
  if (binding === undefined) return
  const { place, address } = binding
  // Said once of each name.
  if (place.bindings[0] !== binding) return
  const staying = place.bindings.filter(
    ({ isDeleted, socket: holder }) => !isDeleted && (place.path !== undefined || holder !== undefined),
  )
  if (staying.length > 1)
    yield ['duplicate-name', `${staying.length} sockets have the name ${address.text}, and one can have it`]
  if (place.path === undefined) yield* abstractFaults(socket, situation)
  else yield* pathFaults(binding, place.path, names)
}

/** How a socket has its name: by bind(2), or, the first one that is accepted, from a listener that is gone. */
function bindingOf({ origin, binding }: UnixSocket): Binding | undefined {
  if (origin.kind !== 'accepted') return binding
  const { place, rendezvous } = origin.arrival
  return place === 0 && rendezvous.listener === undefined ? rendezvous.binding : undefined
}

function* abstractFaults({ entry, address }: UnixSocket, situation: Situation): Iterable<Fault> {
  if (situation.networkNamespace !== undefined || address === undefined) return
  const taken = situation.once('abstract names', abstractNames)
  if (taken.has(`${entry.type} ${address.text}`))
    yield ['name-taken', `somebody has its name here: end that, or restore in a network namespace of its own`]
}

function* pathFaults({ place, address }: Binding, path: string, names: Names): Iterable<Fault> {
  if (address.bytes.length - 2 > LONGEST_NAME + 1)
    yield ['bad-name', `${path} is longer than a name of a socket can be: map it to a shorter one`]
  const occupant = names.occupantAt(path)
  if (occupant === 'living') yield ['name-taken', `somebody has the socket ${path} here: end that first`]
  const isKept = place.bindings.some(({ isDeleted }) => !isDeleted)
  if (occupant === 'other' && isKept) yield ['name-taken', `${path} is here, and is no socket: move it away`]
  if (isKept && !existsSync(dirname(path)))
    yield ['no-folder', `the folder ${dirname(path)} is not there: make it first, or map its path`]
}

function* queueFaults(socket: UnixSocket, situation: Situation): Iterable<Fault> {
  const { messages, entry, origin, address } = socket
  if (messages.length === 0) return
  const isDatagram = !isStreamLike(socket)
  const isFilled =
    origin.kind !== 'alone' || (isDatagram ? address !== undefined : socket.arrival?.accepted !== undefined)
  if (!isFilled) yield ['queue-without-sender', 'it has a queue, and nobody can have sent anything to it']
  for (const { entry: message } of messages) {
    const rights = message.scm.flatMap((scm) => scm.rights)
    if (message.scm.some(({ type }) => type !== SCM_RIGHTS))
      yield ['unknown-control', 'a message in its queue carries something else than descriptors']
    if (rights.length > MOST_RIGHTS)
      yield [
        'too-many-rights',
        `a message in its queue carries ${rights.length} descriptors, and ${MOST_RIGHTS} can be`,
      ]
    if (rights.length > 0 && message.length === 0 && entry.type === SOCK_STREAM)
      yield ['empty-message', 'descriptors in its queue come without a byte, as cannot be on a stream']
  }
  if (isDatagram && origin.kind === 'alone') yield* lengthFaults(socket, situation)
  const size = messages.reduce((sum, { entry: { length } }) => sum + length, 0)
  if (size > (freshBuffers(situation)?.sndbuf ?? 0) / 4 && !mayAdminister(situation))
    yield [
      'no-privilege',
      `its queue has ${size} bytes, for which CAP_NET_ADMIN has to make room: run with it`,
    ]
}

/** A queue takes one more than the limit. Who has the receiver as its own peer is not limited. */
function* lengthFaults(socket: UnixSocket, situation: Situation): Iterable<Fault> {
  const setting = '/proc/sys/net/unix/max_dgram_qlen'
  if (situation.networkNamespace !== undefined || !existsSync(setting)) return
  const most = Number(readFileSync(setting, 'utf8')) + 1
  const isLimited = socket.parts.some(({ sender }) => sender === undefined || socket.peer !== sender)
  if (isLimited && socket.messages.length > most)
    yield [
      'queue-limit',
      `its queue has ${socket.messages.length} messages, and takes ${most} here: raise ${setting}`,
    ]
}
