import type { FilePermsEntry, QueuedPacket, UnixSkEntry } from '../../images/index.ts'
import type { File } from '../../model/file.ts'
import type { Slot } from '../../program/op.ts'
import type { UnixAddress } from './address.ts'

export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_SEQPACKET = 5

/** States (net/tcp_states.h), as sock_diag(7) tells them of Unix sockets. */
export const ESTABLISHED = 1
export const CLOSE = 7
export const LISTEN = 10

/** In UnixSkEntry.uflags: the socket belongs to a process outside of the images. */
export const OUTSIDE = 1

/** A Unix socket of the images, with those that it has to do with. */
export interface UnixSocket {
  readonly file: File
  readonly entry: UnixSkEntry
  readonly address: UnixAddress | undefined
  /** Whom it is connected to; a client that has not been accepted, to the listener. */
  peer: UnixSocket | undefined
  /** Datagram sockets that are connected to it. */
  readonly clients: UnixSocket[]
  /** What it has not read, in order. */
  readonly messages: readonly QueuedPacket[]
  /** The same, by who has sent it. */
  parts: readonly QueuePart[]
  /** The last part of each queue that it sends something to. */
  sends: readonly QueuePart[]
  origin: Origin
  /** Its name, where it has that by bind(2). */
  binding: Binding | undefined
  /** Where its connections come in, when it listens. */
  rendezvous: Rendezvous | undefined
  /** How its connection comes in, when it is the client of a listener. */
  arrival: Arrival | undefined
  /** While it is being made: the descriptor of its peer, of which only the closing is left. */
  ghost: Slot | undefined
  /** Of the maker of a pair: the descriptor of the other half in its process. */
  otherHalf: Slot | undefined
  /** How much of its buffer may be taken by what it has sent so far. */
  sent: number
  /** Whether its buffer was made larger for that. */
  hasRoom: boolean
  /** Whether all but its owner is as it was. */
  isFinished: boolean
}

/** How a socket comes into being. */
export type Origin =
  /** By socket(2). Its connection, if it has one, comes later. */
  | { readonly kind: 'alone' }
  /** By socketpair(2), as one half. */
  | { readonly kind: 'pair'; readonly pair: Pair }
  /** By accept(2). */
  | { readonly kind: 'accepted'; readonly arrival: Arrival }
  /** It is of a process outside of the images. */
  | { readonly kind: 'outside' }

export interface Pair {
  /** The half in whose process both are made. */
  readonly maker: UnixSocket
  /** The other half; undefined when it is closed. */
  readonly other: UnixSocket | undefined
  /** The half that has left the connection since (connect(2) with AF_UNSPEC), while the other one has not. */
  readonly leaver: UnixSocket | undefined
}

/**
 * Connections that come in at one name: of a listener of the images, or of one that is made for the moment, because the
 * one that accepted them is gone.
 */
export interface Rendezvous {
  /** A number, for names of steps. */
  readonly index: number
  readonly address: UnixAddress
  readonly type: number
  readonly listener: UnixSocket | undefined
  /** The name of who listens. */
  binding: Binding | undefined
  /** In the order in which they come in: those that are accepted before those that wait. */
  readonly arrivals: Arrival[]
  /** By task: its descriptor of a listener that is made for the moment, where another one has made that. */
  readonly slots: Map<number, Slot>
}

export interface Arrival {
  readonly rendezvous: Rendezvous
  /** Place among the arrivals. */
  place: number
  /** Undefined when it is closed. */
  readonly client: UnixSocket | undefined
  /** Undefined when nobody has accepted it yet. */
  readonly accepted: UnixSocket | undefined
  /** In whose process it is made: the client, or the one that accepts it. */
  readonly maker: UnixSocket
}

/** A name that sockets have, or had: those that had a path one after another take it one after another. */
export interface Place {
  /** Undefined for an abstract name. */
  readonly path: string | undefined
  /** In the order in which they take it. Those whose path was deleted come first. */
  readonly bindings: Binding[]
}

/** That a socket has a name. */
export interface Binding {
  readonly place: Place
  readonly address: UnixAddress
  readonly perms: FilePermsEntry | undefined
  /** Whether the path was deleted since, or is another socket's. */
  readonly isDeleted: boolean
  /** Undefined for a listener that is there only while its connections are made. */
  readonly socket: UnixSocket | undefined
  /** Of such a listener. */
  readonly rendezvous: Rendezvous | undefined
  /** What the path is called until everything is open. */
  readonly hidden: string | undefined
}

/** Messages that follow each other in a queue and come from the same socket. */
export interface QueuePart {
  readonly receiver: UnixSocket
  /** Place among the parts of the queue. */
  readonly place: number
  /** Undefined when that is closed. */
  readonly sender: UnixSocket | undefined
  readonly messages: QueuedPacket[]
}

export function isStreamLike({ entry: { type } }: UnixSocket): boolean {
  return type === SOCK_STREAM || type === SOCK_SEQPACKET
}

/** Whether each has the other as its peer. */
export function areMutual(one: UnixSocket, other: UnixSocket | undefined): boolean {
  return other?.peer === one && one.peer === other
}

const typeNames = new Map([
  [SOCK_STREAM, 'stream'],
  [SOCK_DGRAM, 'datagram'],
  [SOCK_SEQPACKET, 'seqpacket'],
])

/** The socket in the words of a person. */
export function describe({ entry: { ino, type, state }, address }: UnixSocket): string {
  const what = state === LISTEN ? 'listener' : 'socket'
  const at = address === undefined ? '' : ` at ${address.text}`
  return `Unix ${typeNames.get(type) ?? String(type)} ${what} ${ino}${at}`
}
