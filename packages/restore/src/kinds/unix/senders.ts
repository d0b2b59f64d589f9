import { has, type QueuedPacket } from '../../images/index.ts'
import type { Situation } from '../kind.ts'
import { describe, isStreamLike, type QueuePart, type UnixSocket } from './socket.ts'

/** A small struct sk_buff with its struct skb_shared_info: what a message takes of a buffer besides its bytes. */
const HEADER = 256
const SHARED_INFO = 320
const SMALLEST_BLOCK = 512

function keyOf(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1')
}

function byName(sockets: readonly UnixSocket[]): Map<string, UnixSocket[]> {
  const found = new Map<string, UnixSocket[]>()
  for (const socket of sockets) {
    const key = keyOf(socket.entry.name)
    const known = found.get(key)
    if (known === undefined) found.set(key, [socket])
    else known.push(socket)
  }
  return found
}

class Senders {
  readonly #bySender = new Map<UnixSocket, QueuePart[]>()
  /** What each datagram socket has sent that is not given to a receiver yet. */
  readonly #unread = new Map<UnixSocket, number>()
  readonly #unconnected: readonly UnixSocket[]
  /** Relative names may be those of several, in several folders. */
  readonly #byName: ReadonlyMap<string, readonly UnixSocket[]>
  readonly #warn: Situation['warn']

  constructor(all: readonly UnixSocket[], warn: Situation['warn']) {
    this.#warn = warn
    const datagrams = all.filter((socket) => !isStreamLike(socket) && socket.origin.kind === 'alone')
    this.#byName = byName(datagrams)
    for (const socket of datagrams)
      if (socket.entry.backlog > 0) this.#unread.set(socket, socket.entry.backlog)
    this.#unconnected = datagrams.filter((socket) => socket.peer === undefined && this.#unread.has(socket))
    for (const receiver of all) if (receiver.messages.length > 0) this.#divide(receiver)
    for (const [sender, parts] of this.#bySender) sender.sends = parts
  }

  #divide(receiver: UnixSocket): void {
    const senders = this.#sendersOf(receiver)
    const parts: QueuePart[] = []
    for (const [place, message] of receiver.messages.entries()) {
      const sender = senders[place]
      const last = parts.at(-1)
      // One with descriptors has a part of its own: it waits for these alone.
      const joins = last?.sender === sender && message.entry.scm.length === 0
      if (last !== undefined && joins) last.messages.push(message)
      else parts.push({ receiver, place: parts.length, sender, messages: [message] })
    }
    receiver.parts = parts
    const last = new Map(parts.map((part) => [part.sender, part]))
    for (const [sender, part] of last) {
      if (sender === undefined) continue
      const known = this.#bySender.get(sender)
      if (known === undefined) this.#bySender.set(sender, [part])
      else known.push(part)
    }
  }

  #sendersOf(receiver: UnixSocket): (UnixSocket | undefined)[] {
    const { messages, origin, peer } = receiver
    if (origin.kind === 'pair') {
      const { maker, other } = origin.pair
      return messages.map(() => (maker === receiver ? other : maker))
    }
    if (isStreamLike(receiver)) return messages.map(() => peer)
    const told = messages.map(({ entry }) =>
      has(entry, 'sender') ? this.#named(entry.sender, receiver) : undefined,
    )
    if (told.every((sender) => sender !== undefined)) return told
    const guessed = this.#unread.size === 0 ? guess(receiver) : this.#byMemory(receiver)
    return messages.map((_message, place) => told[place] ?? guessed[place])
  }

  /** The sender of a message whose image, one of ours, has its name. */
  #named(name: Uint8Array, { clients }: UnixSocket): UnixSocket | undefined {
    const named = this.#byName.get(keyOf(name)) ?? []
    return named.find((socket) => clients.includes(socket)) ?? named[0]
  }

  /** By what each of those that may have been it has sent. */
  #byMemory(receiver: UnixSocket): (UnixSocket | undefined)[] {
    const { clients, peer } = receiver
    // Nobody but its peer can send anything to it since it has one.
    const others = clients.filter((client) => client !== peer)
    const all = [...others, ...this.#unconnected, ...clients.filter((client) => client === peer)]
    const mayBe = all.filter((socket) => this.#leftOf(socket) > 0)
    if (mayBe.length > 1 && mayBe.some(({ address }) => address !== undefined)) this.#tell(receiver)
    return receiver.messages.map((message) => {
      const size = memoryOf(message)
      const sender =
        mayBe.find((socket) => this.#leftOf(socket) >= size) ??
        mayBe.find((socket) => this.#leftOf(socket) > 0)
      if (sender !== undefined) this.#unread.set(sender, this.#leftOf(sender) - size)
      return sender
    })
  }

  #leftOf(socket: UnixSocket): number {
    return this.#unread.get(socket) ?? 0
  }

  #tell(receiver: UnixSocket): void {
    const message = `the image does not say who sent what to the ${describe(receiver)}: its messages are sent by those that had sent something, in the order of the image`
    this.#warn({ reason: 'sender-unknown', message, file: receiver.file.id })
  }
}

/** Without what they have sent: the only client, or each client one, or nobody. */
function guess({ messages, clients }: UnixSocket): (UnixSocket | undefined)[] {
  if (clients.length === 1) return messages.map(() => clients[0])
  if (clients.length === messages.length) return [...clients]
  return messages.map(() => undefined)
}

/** What a message takes of the buffer of its sender, as the kernel allocates it: blocks are powers of two. */
function memoryOf({ entry: { length } }: QueuedPacket): number {
  const wanted = Math.ceil(length / 64) * 64 + SHARED_INFO
  let block = SMALLEST_BLOCK
  while (block < wanted) block *= 2
  return block + HEADER
}

/**
 * Who has sent what is in the queues. The image does not say it. On a connection it is the peer; what is in the queue of
 * a datagram socket may be of anyone. But the image has of each socket how much memory is taken by what it has sent and
 * nobody has read yet ("backlog" where nobody listens): so those who have sent nothing are known.
 */
export function divideQueues(all: readonly UnixSocket[], warn: Situation['warn']): void {
  new Senders(all, warn)
}
