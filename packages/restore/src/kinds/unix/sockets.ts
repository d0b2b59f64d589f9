import { FdType, type ImageSet, type QueuedPacket, type UnixSkEntry } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { Situation } from '../kind.ts'
import { addressOf } from './address.ts'
import {
  areMutual,
  ESTABLISHED,
  isStreamLike,
  LISTEN,
  OUTSIDE,
  type Arrival,
  type Pair,
  type Rendezvous,
  type UnixSocket,
} from './socket.ts'

const none: readonly never[] = []

/** The Unix sockets of a set of images, and how each of them comes into being. */
export class UnixSockets {
  /** In the order of the image. */
  readonly all: readonly UnixSocket[]
  readonly rendezvous: Rendezvous[] = []
  readonly #byFile = new Map<number, UnixSocket>()
  readonly #byInode = new Map<number, UnixSocket>()
  /** By name: where accepted sockets of that name come from. */
  readonly #byName = new Map<string, Rendezvous>()

  constructor({ model, images, path }: Situation) {
    const all: UnixSocket[] = []
    const queues = queuesOf(images)
    for (const file of model.files.values()) {
      const { usk: entry } = file.entry
      if (file.type !== FdType.UNIXSK || entry === undefined) continue
      const address = addressOf(entry, path)
      const socket = newSocket(file, entry, { address, messages: queues.get(file.id) ?? none })
      all.push(socket)
      this.#byFile.set(file.id, socket)
      this.#byInode.set(entry.ino, socket)
    }
    this.all = all
    for (const socket of all) this.#connect(socket)
    for (const socket of all) if (!isStreamLike(socket)) pairDatagrams(socket)
    this.#meet(all.filter(isStreamLike))
  }

  of(file: File): UnixSocket {
    const socket = this.#byFile.get(file.id)
    if (socket === undefined) throw new Error(`file ${file.id} is no Unix socket`)
    return socket
  }

  #connect(socket: UnixSocket): void {
    const peer = socket.entry.peer === 0 ? undefined : this.#byInode.get(socket.entry.peer)
    socket.peer = peer
    if (peer !== undefined && !isStreamLike(socket)) peer.clients.push(socket)
  }

  /** Connections of streams and seqpackets: those of listeners, then all others. */
  #meet(sockets: readonly UnixSocket[]): void {
    for (const socket of sockets) if (isListener(socket)) this.#addListener(socket)
    const users = countNames(sockets)
    const waiting: Arrival[] = []
    for (const socket of sockets) {
      const { peer, entry, origin } = socket
      if (entry.state !== ESTABLISHED || origin.kind !== 'alone' || socket.arrival !== undefined) continue
      const rendezvous = peer?.rendezvous
      if (rendezvous !== undefined) waiting.push(arrivalOf(rendezvous, socket))
      else if (entry.peer === 0) this.#meetNobody(socket)
      else if (peer !== undefined && areMutual(socket, peer)) this.#meetPeer(socket, peer, users)
    }
    // They come after those that have been accepted.
    for (const arrival of waiting) join(arrival)
  }

  #addListener(listener: UnixSocket): void {
    const made = this.#makeRendezvous(listener, listener)
    listener.rendezvous = made
    // Of several that had the same name, one after another, nobody can tell who accepted what.
    if (!this.#byName.has(nameOf(listener))) this.#byName.set(nameOf(listener), made)
  }

  /** Its peer is closed. */
  #meetNobody(socket: UnixSocket): void {
    if (socket.address === undefined) pairUp({ maker: socket, other: undefined, leaver: undefined })
    else this.#accept(socket, undefined)
  }

  #meetPeer(one: UnixSocket, other: UnixSocket, users: ReadonlyMap<string, number>): void {
    if (one.address === undefined && other.address === undefined) {
      pairUp(pairOf(one, other, undefined))
      return
    }
    const accepted = acceptedOf(one, other, (socket) => {
      const name = nameOf(socket)
      return this.#byName.has(name) ? Number.MAX_SAFE_INTEGER : (users.get(name) ?? 0)
    })
    this.#accept(accepted, accepted === one ? other : one)
  }

  #accept(accepted: UnixSocket, client: UnixSocket | undefined): void {
    const name = nameOf(accepted)
    const rendezvous = this.#byName.get(name) ?? this.#makeRendezvous(accepted, undefined)
    this.#byName.set(name, rendezvous)
    const arrival = arrivalOf(rendezvous, client, accepted)
    join(arrival)
    accepted.origin = { kind: 'accepted', arrival }
  }

  #makeRendezvous({ address, entry }: UnixSocket, listener: UnixSocket | undefined): Rendezvous {
    const made: Rendezvous = {
      index: this.rendezvous.length,
      // A listener without a name is refused by the check.
      address: address ?? { bytes: new Uint8Array(), text: '', path: undefined, folder: undefined },
      type: entry.type,
      listener,
      binding: undefined,
      arrivals: [],
      slots: new Map(),
    }
    this.rendezvous.push(made)
    return made
  }
}

/** By file: what has not been read. */
function queuesOf({ packets }: ImageSet): Map<number, QueuedPacket[]> {
  const queues = new Map<number, QueuedPacket[]>()
  for (const packet of packets) {
    const queue = queues.get(packet.entry.idFor)
    if (queue === undefined) queues.set(packet.entry.idFor, [packet])
    else queue.push(packet)
  }
  return queues
}

function newSocket(
  file: File,
  entry: UnixSkEntry,
  { address, messages }: Pick<UnixSocket, 'address' | 'messages'>,
): UnixSocket {
  return {
    file,
    entry,
    address,
    peer: undefined,
    clients: [],
    messages,
    parts: none,
    sends: none,
    binding: undefined,
    rendezvous: undefined,
    origin: { kind: (entry.uflags & OUTSIDE) === 0 ? 'alone' : 'outside' },
    arrival: undefined,
    ghost: undefined,
    otherHalf: undefined,
    sent: 0,
    hasRoom: false,
    isFinished: false,
  }
}

function isListener({ entry, origin }: UnixSocket): boolean {
  return entry.state === LISTEN && origin.kind === 'alone'
}

/** The same for sockets that may have their name from the same listener. */
function nameOf({ entry: { type, deleted }, address }: UnixSocket): string {
  return `${type} ${address?.path === undefined ? `@ ${address?.text ?? ''}` : `${deleted} ${address.path}`}`
}

function countNames(sockets: readonly UnixSocket[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const socket of sockets) {
    if (socket.address !== undefined) counts.set(nameOf(socket), (counts.get(nameOf(socket)) ?? 0) + 1)
  }
  return counts
}

/**
 * Which of two was accepted: the one whose name a listener has, or others share, for a client has its name alone. An
 * accepted one is made after its client, so has the higher inode.
 */
function acceptedOf(one: UnixSocket, other: UnixSocket, users: (socket: UnixSocket) => number): UnixSocket {
  if (one.address === undefined || other.address === undefined) return one.address === undefined ? other : one
  const difference = users(one) - users(other)
  if (difference !== 0) return difference > 0 ? one : other
  return one.entry.ino > other.entry.ino ? one : other
}

function arrivalOf(rendezvous: Rendezvous, client: UnixSocket | undefined, accepted?: UnixSocket): Arrival {
  const maker = client ?? accepted
  if (maker === undefined) throw new Error('a connection needs one of its ends')
  return { rendezvous, client, accepted, maker, place: 0 }
}

function join(arrival: Arrival): void {
  const { arrivals } = arrival.rendezvous
  arrival.place = arrivals.length
  arrivals.push(arrival)
  if (arrival.client !== undefined) arrival.client.arrival = arrival
}

/**
 * Datagram sockets are halves of a pair where they could not be connected by name: both have each other and nobody else;
 * or one has the other, which has no name, so that it must have left; or the other one is closed.
 */
function pairDatagrams(socket: UnixSocket): void {
  const { peer, origin, entry, address } = socket
  if (origin.kind !== 'alone') return
  if (peer === undefined) {
    const isAlone = entry.peer !== 0 || address !== undefined || socket.clients.length > 0
    if (!isAlone && entry.state === ESTABLISHED)
      pairUp({ maker: socket, other: undefined, leaver: undefined })
  } else if (peer.origin.kind !== 'alone') return
  else if (areMutual(socket, peer)) {
    if (socket.clients.length === 1 && peer.clients.length === 1) pairUp(pairOf(socket, peer, undefined))
  } else if (peer.address === undefined) pairUp(pairOf(socket, peer, peer))
}

function pairOf(one: UnixSocket, other: UnixSocket, leaver: UnixSocket | undefined): Pair {
  return isBefore(other, one) ? { maker: other, other: one, leaver } : { maker: one, other, leaver }
}

/** By who has it: one that is only in flight is made by the process that has the other one. */
function isBefore({ file: one }: UnixSocket, { file: other }: UnixSocket): boolean {
  const [first] = one.fles
  const [second] = other.fles
  if (first === undefined || second === undefined) return second === undefined && first !== undefined
  return (first.table.owner.pid - second.table.owner.pid || first.fd - second.fd) < 0
}

function pairUp(pair: Pair): void {
  for (const half of [pair.maker, pair.other]) if (half !== undefined) half.origin = { kind: 'pair', pair }
}
