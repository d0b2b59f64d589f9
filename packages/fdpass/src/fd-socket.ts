import { setTimeout as pause } from 'node:timers/promises'
import { binding, Slot } from './binding.ts'
import { bindFields, BoundName, checkName, type BindOptions } from './bound-name.ts'
import { EAGAIN, EBADF, EBUSY, EINVAL, ETIMEDOUT } from './errno.ts'
import { FdPassError } from './errors.ts'
import { Fd, type FdLike } from './fd.ts'
import type { Credentials, Message } from './message.ts'
import {
  checkCount,
  checkFields,
  checkTimeout,
  checkWait,
  invalid,
  waitFields,
  type WaitOptions,
} from './options.ts'
import { outgoing, sendAtOnce, type Attributes, type Outgoing } from './outgoing.ts'
import type { Payload } from './payload.ts'
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP } from './readiness.ts'
import { Receiver } from './receiver.ts'
import { Sender, sent } from './sender.ts'
import {
  receiveRules,
  SOCK,
  type ReceiveOptions,
  type ReceiveRules,
  type SocketType,
} from './socket-options.ts'
import {
  adopt,
  bufferFields,
  inspect,
  makeSocket,
  prepared,
  setUp,
  type BufferOptions,
} from './socket-setup.ts'
import { rejected } from './wait-queue.ts'
import { WatchedSocket } from './watched-socket.ts'

export interface SocketOptions extends ReceiveOptions, BufferOptions {
  /** `stream`, unless told. */
  type?: SocketType | undefined
}

export interface ConnectOptions extends SocketOptions, WaitOptions {
  /** A name of this end's own, which the peer can send datagrams to. It is removed with the socket. */
  localName?: string | undefined
}

export interface SendOptions extends WaitOptions {
  /** Of a datagram: the name to send to, if not to the connected one. */
  to?: string | undefined
  /**
   * What the receiver is told, if it asks for credentials. The kernel lets only those say another process or user than
   * their own who have CAP_SYS_ADMIN, CAP_SETUID or CAP_SETGID (EPERM).
   */
  credentials?: Credentials | undefined
  /** Whether the Fds are closed when they have been sent. They stay open when the message fails. */
  move?: boolean | undefined
}

export type SendSyncOptions = Omit<SendOptions, 'signal'>

export interface RecvOptions extends WaitOptions {
  /**
   * Looks at the message and leaves it there, for the next call, or for others who have the same socket (MSG_PEEK). Its
   * descriptors are new ones each time. Not of a framed stream.
   */
  peek?: boolean | undefined
}

export type RecvSyncOptions = Omit<RecvOptions, 'signal'>

const READABLE = EPOLLIN | EPOLLRDHUP
const ENDED = EPOLLERR | EPOLLHUP
const FIRST_PAUSE = 1
const LAST_PAUSE = 32

/** No options, which need no look. */
const plain: Readonly<SendOptions> = {}
const unmoved: readonly Fd[] = []
const none: readonly FdLike[] = []

const isList = (fds: Iterable<FdLike>): fds is readonly FdLike[] => Array.isArray(fds)

/**
 * A Unix socket that carries messages with descriptors. It belongs to the thread that made it, and is one's own: it is
 * closed by `close`, by disposal, and when the thread ends.
 */
export class FdSocket extends WatchedSocket implements AsyncIterable<Message> {
  readonly #rules: ReceiveRules
  readonly #receiver: Receiver
  /** Made once, not by each call. */
  readonly #receive = (): Message | null | undefined => this.#receiver.receive()
  readonly #sender: Sender
  readonly #bound: BoundName | undefined
  #peer: Credentials | undefined

  /** @internal The socket is set up, and this thread's. */
  constructor(descriptor: number, rules: ReceiveRules, bound?: BoundName) {
    super(descriptor, READABLE)
    this.#rules = rules
    this.#bound = bound
    this.#receiver = Receiver.for(descriptor, rules)
    this.#sender = new Sender(
      descriptor,
      () => {
        this.update()
      },
      () => {
        this.watch.set(this.watch.events | EPOLLOUT)
      },
    )
  }

  /**
   * Connects to a name. A listener whose queue is full is tried again, until the deadline. Rejects with FdPassError:
   * ENOENT, ECONNREFUSED, EACCES, EPROTOTYPE (it listens for another type), ETIMEDOUT.
   */
  static async connect(name: string, options: ConnectOptions = {}): Promise<FdSocket> {
    options.signal?.throwIfAborted()
    const socket = FdSocket.#unconnected(name, options, [...waitFields, 'localName'])
    try {
      const deadline = performance.now() + (options.timeout ?? Infinity)
      for (let wait = FIRST_PAUSE; !socket.#connect(name, deadline); wait = Math.min(2 * wait, LAST_PAUSE)) {
        // Linux tells nobody when a listener's queue has room again.
        await pause(wait, undefined, options.signal === undefined ? {} : { signal: options.signal })
      }
      return socket
    } catch (error) {
      socket.close()
      throw options.signal?.aborted === true ? options.signal.reason : error
    }
  }

  /** The same, blocking the thread. */
  static connectSync(name: string, options: Omit<ConnectOptions, 'signal'> = {}): FdSocket {
    const socket = FdSocket.#unconnected(name, options, ['timeout', 'localName'])
    try {
      const deadline = performance.now() + (options.timeout ?? Infinity)
      for (let wait = FIRST_PAUSE; !socket.#connect(name, deadline); wait = Math.min(2 * wait, LAST_PAUSE)) {
        const error = binding.wait(-1, 0, wait)
        if (error < 0) throw new FdPassError(error, 'connect')
      }
      return socket
    } catch (error) {
      socket.close()
      throw error
    }
  }

  /** A datagram socket with a name, for whoever sends to it; unconnected, so each message says where it goes. */
  static bound(name: string, options: Omit<SocketOptions, 'type'> & BindOptions = {}): FdSocket {
    const rules = receiveRules('dgram', options, [...bufferFields, ...bindFields])
    const [descriptor, bound] = makeSocket('dgram', (socket) => {
      setUp(socket, rules, options)
      return BoundName.bind(socket, name, options)
    })
    return new FdSocket(descriptor, rules, bound)
  }

  /** Two sockets that are connected to each other. */
  static pair(options: SocketOptions = {}): [FdSocket, FdSocket] {
    const type = options.type ?? 'stream'
    const rules = receiveRules(type, options, [...bufferFields, 'type'])
    const error = binding.pair(SOCK[type])
    if (error < 0) throw new FdPassError(error, 'socketpair')
    const ends = [binding.numbers[Slot.descriptors], binding.numbers[9]] as const
    prepared(ends, () => {
      for (const end of ends) setUp(end, rules, options)
    })
    return [new FdSocket(ends[0], rules), new FdSocket(ends[1], rules)]
  }

  /**
   * Takes a Unix socket that was made elsewhere: inherited, received, or taken from another thread. Its type is looked
   * up; O_NONBLOCK is left as it is. An Fd is closed for its holder; a number must have no other owner. Throws
   * FdPassError ENOTSOCK, EBADF, or EINVAL for what is no Unix socket or listens; the descriptor is then as before.
   */
  static from(descriptor: Fd | number, options: Omit<SocketOptions, 'type'> = {}): FdSocket {
    const [number, rules] = adopt(descriptor, (socket) => {
      const { type, listening } = inspect(socket)
      if (listening) throw invalid('getsockopt', 'this socket listens: see FdListener.from')
      const own = receiveRules(type, options, bufferFields)
      setUp(socket, own, options)
      return own
    })
    return new FdSocket(number, rules)
  }

  get type(): SocketType {
    return this.#rules.type
  }

  /** Whether it is a stream that speaks in frames. */
  get framed(): boolean {
    return this.#rules.framed
  }

  /** Bytes of messages that wait here for room. */
  get queuedBytes(): number {
    return this.#sender.bytes
  }

  /** The kernel's account of what was sent and not received by the peer yet (SIOCOUTQ); 0 when all was. */
  get unreceived(): number {
    return this.#ask(binding.unreceived(this.open('ioctl')), 'ioctl')
  }

  /** The name of this end; undefined when it has none. One in the abstract name space begins with NUL. */
  get localName(): string | undefined {
    return this.#bound?.name ?? this.#name(binding.localName(this.open('getsockname')), 'getsockname')
  }

  /** The name of the other end; undefined when it has none. */
  get peerName(): string | undefined {
    return this.#name(binding.peerName(this.open('getpeername')), 'getpeername')
  }

  /**
   * The process that connected, listened, or made the pair, as it was at that moment (SO_PEERCRED, unix(7)). The number
   * of a process may be another's by now: {@link peerPidfd} cannot. Of an unconnected datagram socket there is none:
   * pid 0, uid and gid 4294967295.
   */
  get peer(): Credentials {
    if (this.#peer === undefined) {
      this.#ask(binding.peerCredentials(this.open('getsockopt')), 'getsockopt')
      const { numbers } = binding
      this.#peer = { pid: numbers[Slot.pid], uid: numbers[Slot.uid] >>> 0, gid: numbers[Slot.gid] >>> 0 }
    }
    return this.#peer
  }

  /** A pidfd of the same process (SO_PEERPIDFD). Throws FdPassError ENOPROTOOPT before Linux 6.5, ESRCH, ENODATA. */
  peerPidfd(): Fd {
    return new Fd(this.#ask(binding.peerPidfd(this.open('getsockopt')), 'getsockopt'))
  }

  /**
   * Sends bytes, with descriptors, which stay their owners'. Resolves when the kernel has taken all of it. Messages go
   * in the order of the calls, and a message that waits for room keeps duplicates of its descriptors. Do not change the
   * bytes before.
   *
   * A message that ends before it was begun (timeout, signal) has not been sent. Of one that was begun the rest cannot
   * be taken back: this end is then shut for sending, and later messages fail with EPIPE.
   *
   * Rejects with FdPassError: EBADF, EINVAL (nothing was sent); EPIPE, ECONNRESET; EPERM (the receiver takes no
   * descriptors, or the credentials are not yours to say); EMSGSIZE; ETIMEDOUT; ECONNREFUSED, ENOENT of a datagram;
   * EMFILE (no room to keep descriptors of a message that waits).
   */
  send(data: Payload, fds: Iterable<FdLike> = none, options: SendOptions = plain): Promise<void> {
    try {
      if (options === plain && isList(fds) && this.#sender.free) {
        const rest = sendAtOnce(this.open('sendmsg'), data, fds, this.#rules)
        return rest === undefined ? sent : this.#sender.send(rest, options)
      }
      const [message, moved] = this.#outgoing(data, fds, options)
      options.signal?.throwIfAborted()
      const done = this.#sender.send(message, options)
      return moved.length === 0
        ? done
        : done.then(() => {
            this.#moved(moved)
          })
    } catch (error) {
      return rejected(error)
    }
  }

  /** The same, blocking the thread until it has gone. What waits from earlier calls goes first. */
  sendSync(data: Payload, fds: Iterable<FdLike> = none, options: SendSyncOptions = plain): void {
    if (options === plain && isList(fds) && this.#sender.free) {
      const rest = sendAtOnce(this.open('sendmsg'), data, fds, this.#rules)
      if (rest !== undefined) this.#sender.sendSync(rest, Infinity)
      return
    }
    const [message, moved] = this.#outgoing(data, fds, options)
    this.#sender.sendSync(message, options.timeout ?? Infinity)
    if (moved.length > 0) this.#moved(moved)
  }

  /**
   * The next message; null when the peer has ended. It is the caller's, with its descriptors. Calls are served in turn.
   *
   * Rejects with FdTruncatedError and FdRefusedError, after which the next message can be received; with FdPassError
   * ETIMEDOUT; ECONNRESET when the peer was closed with messages unread that this end had sent; EPROTO when a peer does
   * not speak in frames, or ended inside of one.
   */
  recv(options: RecvOptions = plain): Promise<Message | null> {
    try {
      const attempt = this.#receiving(options)
      options.signal?.throwIfAborted()
      this.open('recvmsg')
      return this.takeInTurn(attempt, options, 'recvmsg')
    } catch (error) {
      return rejected(error)
    }
  }

  /** The same, blocking the thread. Throws FdPassError EBUSY while a `recv` waits. */
  recvSync(options: RecvSyncOptions = plain): Message | null {
    return this.takeNow(this.#receiving(options), options.timeout, 'recvmsg')
  }

  /** Messages until the peer ends. Each is the receiver's, to be closed or disposed of; none is read ahead. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, undefined> {
    for (let message = await this.recv(); message !== null; message = await this.recv()) yield message
  }

  /** Half-closes: the peer receives what was sent, and then the end. What it sends can still be received. */
  async end(options: WaitOptions = {}): Promise<void> {
    checkWait(options, 'shutdown')
    options.signal?.throwIfAborted()
    this.open('shutdown')
    await this.#sender.end(options)
  }

  /**
   * Gives its number away: the caller closes it from now on, and may hand it to another thread or process. Throws
   * FdPassError EBUSY while a call waits, or when it has read ahead.
   */
  take(): number {
    const descriptor = this.open('take')
    if (this.takers.length > 0 || this.#sender.waiting || this.#receiver.holds) {
      throw new FdPassError(EBUSY, 'take')
    }
    this.#ask(binding.take(descriptor), 'take')
    this.letGo()
    return descriptor
  }

  /**
   * Closes it. Calls that wait fail with EBADF, and the messages that they are for are not sent. Descriptors that were
   * read ahead are closed, and told of on the channel `x.fdpass.discarded`; a peer whose messages were not read learns
   * it by ECONNRESET. Closing twice is fine.
   */
  override close(): void {
    const descriptor = this.fd
    if (descriptor < 0) return
    this.letGo()
    this.#receiver.close()
    const closed = (syscall: string): FdPassError =>
      new FdPassError(EBADF, syscall, { detail: 'the socket was closed while the call waited' })
    this.takers.fail(closed('recvmsg'))
    this.#sender.fail(closed('sendmsg'))
    this.update()
    binding.close(descriptor)
    this.#bound?.remove()
  }

  static #unconnected(name: string, options: ConnectOptions, others: readonly string[]): FdSocket {
    checkName(name, 'connect')
    checkTimeout(options.timeout, 'connect')
    const type = options.type ?? 'stream'
    const rules = receiveRules(type, options, [...bufferFields, ...others, 'type'])
    const [descriptor, bound] = makeSocket(type, (socket) => {
      setUp(socket, rules, options)
      const { localName } = options
      return localName === undefined ? undefined : BoundName.bind(socket, localName, {})
    })
    return new FdSocket(descriptor, rules, bound)
  }

  /** False when the listener's queue is full, and the deadline is not yet. */
  #connect(name: string, deadline: number): boolean {
    const error = binding.connect(this.fd, name)
    if (error === 0) return true
    if (error !== EAGAIN) throw new FdPassError(error, 'connect')
    if (performance.now() >= deadline) {
      throw new FdPassError(ETIMEDOUT, 'connect', { detail: 'the listener’s queue is full' })
    }
    return false
  }

  /** What a call has to do for these options. */
  #receiving(options: RecvOptions): () => Message | null | undefined {
    if (options === plain) return this.#receive
    checkWait(options, 'recvmsg', ['peek'])
    const { peek = false } = options
    if (typeof peek !== 'boolean') throw invalid('recvmsg', 'peek is a boolean')
    if (peek && this.framed)
      throw invalid('recvmsg', 'frames are read ahead, and cannot be left where they are')
    return peek ? () => this.#receiver.receive(true) : this.#receive
  }

  #outgoing(
    data: Payload,
    fds: Iterable<FdLike> | undefined,
    options: SendOptions,
  ): [Outgoing, readonly Fd[]] {
    this.open('sendmsg')
    if (options === plain) return [outgoing(data, fds, this.#rules), unmoved]
    checkWait(options, 'sendmsg', ['to', 'credentials', 'move'])
    const { to, credentials, move = false } = options
    if (credentials !== undefined) checkCredentials(credentials)
    if (to !== undefined) {
      checkName(to, 'sendmsg')
      if (this.type !== 'dgram') throw invalid('sendmsg', 'only a datagram is sent to a name')
    }
    const list = fds === undefined || !move ? fds : [...fds]
    const attributes: Attributes | undefined =
      to === undefined && credentials === undefined ? undefined : { to, credentials }
    const message = outgoing(data, list, this.#rules, attributes)
    return [message, move && list !== undefined ? ownersOf(list as FdLike[]) : unmoved]
  }

  #moved(fds: readonly Fd[]): void {
    for (const fd of fds) fd.close()
  }

  protected override ready(events: number): void {
    if ((events & (READABLE | ENDED)) !== 0) this.serveTakers()
    if (this.fd >= 0 && (events & (EPOLLOUT | ENDED)) !== 0) {
      if (this.#sender.waiting) this.#sender.run()
      else this.watch.set(this.watch.events & ~EPOLLOUT)
    }
    this.update()
  }

  protected override get wanted(): number {
    return super.wanted | (this.#sender.waiting ? EPOLLOUT : 0)
  }

  #ask(result: number, syscall: string): number {
    if (result < 0) throw new FdPassError(result, syscall)
    return result
  }

  #name(result: string | number, syscall: string): string | undefined {
    if (typeof result === 'number') throw new FdPassError(result, syscall)
    return result === '' ? undefined : result
  }
}

function checkCredentials({ pid, uid, gid, ...others }: Credentials): void {
  checkFields(others, [], 'sendmsg')
  checkCount(pid, 'pid', 0x7fffffff, 'sendmsg')
  // The last is no user or group, but what says so (-1).
  checkCount(uid, 'uid', 0xfffffffe, 'sendmsg')
  checkCount(gid, 'gid', 0xfffffffe, 'sendmsg')
}

function ownersOf(fds: readonly FdLike[]): readonly Fd[] {
  const owners = fds.filter((fd) => fd instanceof Fd)
  if (owners.length < fds.length) {
    throw new FdPassError(EINVAL, 'sendmsg', {
      detail: 'only an Fd can be moved; a number has another owner',
    })
  }
  return owners
}
