import { binding } from './binding.ts'
import { bindFields, BoundName, type BindOptions } from './bound-name.ts'
import { EAGAIN, EBADF, EBUSY } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { Fd } from './fd.ts'
import { FdSocket, type SocketOptions } from './fd-socket.ts'
import {
  checkCount,
  checkSyncWait,
  checkWait,
  invalid,
  type SyncWaitOptions,
  type WaitOptions,
} from './options.ts'
import { EPOLLIN } from './readiness.ts'
import { receiveRules, type ReceiveRules, type SocketType } from './socket-options.ts'
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

export interface ListenOptions extends SocketOptions, BindOptions {
  /** How many connections may wait to be accepted: 511 unless told, and at most net.core.somaxconn. */
  backlog?: number | undefined
}

export interface InheritedListenerOptions extends Omit<SocketOptions, 'type'> {
  /**
   * Whether the listener may be made non-blocking (O_NONBLOCK), for all processes that share it. Without that, one that
   * blocks is refused: while two processes accept on it, one of them could be stuck.
   */
  nonblocking?: boolean | undefined
}

/** A Unix socket that listens. Sockets that it accepts have its options. */
export class FdListener extends WatchedSocket implements AsyncIterable<FdSocket> {
  readonly #rules: ReceiveRules
  readonly #buffers: BufferOptions
  readonly #bound: BoundName | undefined

  /** @internal */
  constructor(descriptor: number, rules: ReceiveRules, buffers: BufferOptions, bound?: BoundName) {
    super(descriptor, EPOLLIN)
    this.#rules = rules
    this.#buffers = buffers
    this.#bound = bound
  }

  /**
   * Takes a Unix socket that listens already: inherited, or received. Throws FdPassError ENOTSOCK, EBADF, or EINVAL for
   * one that does not listen, or blocks; the descriptor is then as before.
   */
  static from(descriptor: Fd | number, options: InheritedListenerOptions = {}): FdListener {
    const [number, rules] = adopt(descriptor, (socket) => {
      const { type, listening, blocking } = inspect(socket)
      if (!listening) throw invalid('getsockopt', 'this socket does not listen: see FdSocket.from')
      const own = receiveRules(type, options, [...bufferFields, 'nonblocking'])
      if (blocking && options.nonblocking !== true) {
        throw invalid(
          'accept',
          'it is in blocking mode, for all that share it; { nonblocking: true } changes that',
        )
      }
      setUp(socket, own, options)
      if (blocking) binding.setBlocking(socket, false)
      return own
    })
    return new FdListener(number, rules, options)
  }

  get type(): SocketType {
    return this.#rules.type
  }

  /** Its name. One in the abstract name space begins with NUL. */
  get name(): string {
    if (this.#bound !== undefined) return this.#bound.name
    const name = binding.localName(this.open('getsockname'))
    if (typeof name === 'number') throw new FdPassError(name, 'getsockname')
    return name
  }

  /**
   * The next connection. Calls are served in turn. Rejects with FdPassError: EBADF when it is closed, ETIMEDOUT, EMFILE
   * and ENFILE (the connection then waits in the kernel for the next call).
   */
  accept(options: WaitOptions = {}): Promise<FdSocket> {
    try {
      checkWait(options, 'accept')
      options.signal?.throwIfAborted()
      this.open('accept')
      return this.takeInTurn(() => this.#accept(), options, 'accept')
    } catch (error) {
      return rejected(error)
    }
  }

  /** The same, blocking the thread. Throws FdPassError EBUSY while an `accept` waits. */
  acceptSync(options: SyncWaitOptions = {}): FdSocket {
    checkSyncWait(options, 'accept')
    return this.takeNow(() => this.#accept(), options.timeout, 'accept')
  }

  /** Connections until it is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<FdSocket, void, undefined> {
    while (this.fd >= 0) {
      try {
        yield await this.accept()
      } catch (error) {
        if (this.fd < 0) return
        throw error
      }
    }
  }

  /** Gives its number away, to another thread or process; its path stays. Throws FdPassError EBUSY while a call waits. */
  take(): number {
    const descriptor = this.open('take')
    if (this.takers.length > 0) throw new FdPassError(EBUSY, 'take')
    binding.take(descriptor)
    this.letGo()
    return descriptor
  }

  /** Closes it, and removes its path. Calls that wait fail with EBADF. Closing twice is fine. */
  override close(): void {
    const descriptor = this.fd
    if (descriptor < 0) return
    this.letGo()
    this.takers.fail(
      new FdPassError(EBADF, 'accept', { detail: 'the listener was closed while the call waited' }),
    )
    this.update()
    // First the path: nobody shall find a socket that nobody listens on.
    this.#bound?.remove()
    binding.close(descriptor)
  }

  #accept(): FdSocket | undefined {
    const socket = binding.accept(this.fd)
    if (socket === EAGAIN) return undefined
    if (socket < 0) throw new FdPassError(socket, 'accept')
    prepared([socket], () => {
      setUp(socket, this.#rules, this.#buffers)
    })
    return new FdSocket(socket, this.#rules)
  }

  protected override ready(): void {
    this.serveTakers()
    this.update()
  }
}

/**
 * Listens on a name: a path, of any length, or one that begins with NUL in the abstract name space. Throws FdPassError:
 * EADDRINUSE, EACCES, ENOENT (no such directory), ENAMETOOLONG, EINVAL.
 */
export function listen(name: string, options: ListenOptions = {}): FdListener {
  const type = options.type ?? 'stream'
  const rules = receiveRules(type, options, [...bufferFields, ...bindFields, 'type', 'backlog'])
  if (type === 'dgram') throw invalid('listen', 'datagrams need no listener: see FdSocket.bound')
  const backlog = checkCount(options.backlog ?? 511, 'backlog', 0x7fffffff, 'listen')
  const [descriptor, bound] = makeSocket(type, (socket) => {
    setUp(socket, rules, options)
    const own = BoundName.bind(socket, name, options)
    const error = binding.listen(socket, backlog)
    if (error === 0) return own
    own.remove()
    throw new FdPassError(error, 'listen')
  })
  return new FdListener(descriptor, rules, options, bound)
}
