import { binding } from './binding.ts'
import { bindFields, BoundName, type BindOptions } from './bound-name.ts'
import { EAGAIN, EBADF, EBUSY, ETIMEDOUT } from './errno.ts'
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
import { Owner } from './ownership.ts'
import { EPOLLIN, KeepAlive, Watch } from './readiness.ts'
import { mayGoOn, nextTurn } from './turn.ts'
import { receiveRules, type ReceiveRules, type SocketType } from './socket-options.ts'
import { adopt, bufferFields, inspect, makeSocket, setUp, type BufferOptions } from './socket-setup.ts'
import { rejected, WaitQueue } from './wait-queue.ts'

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

const POLLIN = 0x1

/** A Unix socket that listens. Sockets that it accepts have its options. */
export class FdListener extends Owner implements Disposable, AsyncDisposable, AsyncIterable<FdSocket> {
  readonly #rules: ReceiveRules
  readonly #buffers: BufferOptions
  readonly #bound: BoundName | undefined
  readonly #queue = new WaitQueue()
  readonly #watch: Watch
  #descriptor: number
  readonly #keepAlive = new KeepAlive()

  /** @internal */
  constructor(descriptor: number, rules: ReceiveRules, buffers: BufferOptions, bound?: BoundName) {
    super()
    this.#descriptor = descriptor
    this.#rules = rules
    this.#buffers = buffers
    this.#bound = bound
    this.#watch = new Watch(descriptor, () => {
      if (this.#queue.length === 0) this.#watch.set(0)
      else this.#queue.run()
      this.#update()
    })
    this.begin(0)
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

  /** Its number, borrowed; -1 once it was closed or taken. */
  get fd(): number {
    return this.#descriptor
  }

  get type(): SocketType {
    return this.#rules.type
  }

  /** Its name. One in the abstract name space begins with NUL. */
  get name(): string {
    if (this.#bound !== undefined) return this.#bound.name
    const name = binding.localName(this.#open('getsockname'))
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
      this.#open('accept')
      const own = this.#queue.length === 0
      if (own && (options.timeout === 0 || mayGoOn())) {
        const socket = this.#accept()
        if (socket !== undefined) return Promise.resolve(socket)
      } else if (own) {
        nextTurn(() => {
          this.#queue.run()
          this.#update()
        })
      }
      if (options.timeout === 0) throw new FdPassError(ETIMEDOUT, 'accept')
      // It can fail, and must not when somebody waits already.
      this.#watch.set(EPOLLIN)
      const waiting = this.#queue.wait(
        () => this.#accept(),
        options,
        'accept',
        () => {
          this.#update()
        },
      )
      this.#update()
      return waiting
    } catch (error) {
      return rejected(error)
    }
  }

  /** The same, blocking the thread. Throws FdPassError EBUSY while an `accept` waits. */
  acceptSync(options: SyncWaitOptions = {}): FdSocket {
    checkSyncWait(options, 'accept')
    const descriptor = this.#open('accept')
    if (this.#queue.length > 0) throw new FdPassError(EBUSY, 'accept')
    const deadline = performance.now() + (options.timeout ?? Infinity)
    for (;;) {
      const socket = this.#accept()
      if (socket !== undefined) return socket
      const left = deadline - performance.now()
      if (left <= 0) throw new FdPassError(ETIMEDOUT, 'accept')
      const ready = binding.wait(descriptor, POLLIN, Number.isFinite(left) ? left : -1)
      if (ready < 0) throw new FdPassError(ready, 'poll')
    }
  }

  /** Connections until it is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<FdSocket, void, undefined> {
    while (this.#descriptor >= 0) {
      try {
        yield await this.accept()
      } catch (error) {
        if (this.#descriptor < 0) return
        throw error
      }
    }
  }

  /** Whether a wait keeps the process alive: yes, unless `unref` is called. */
  ref(): this {
    this.#keepAlive.referenced = true
    return this
  }

  unref(): this {
    this.#keepAlive.referenced = false
    return this
  }

  /** Gives its number away, to another thread or process; its path stays. Throws FdPassError EBUSY while a call waits. */
  take(): number {
    const descriptor = this.#open('take')
    if (this.#queue.length > 0) throw new FdPassError(EBUSY, 'take')
    this.#watch.set(0)
    binding.take(descriptor)
    this.#descriptor = -1
    this.finish()
    return descriptor
  }

  /** Closes it, and removes its path. Calls that wait fail with EBADF. Closing twice is fine. */
  close(): void {
    if (this.#descriptor < 0) return
    const descriptor = this.#descriptor
    this.#watch.set(0)
    this.#descriptor = -1
    this.finish()
    this.#queue.fail(
      new FdPassError(EBADF, 'accept', { detail: 'the listener was closed while the call waited' }),
    )
    this.#update()
    // First the path: nobody shall find a socket that nobody listens on.
    this.#bound?.remove()
    binding.close(descriptor)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close()
    return Promise.resolve()
  }

  #accept(): FdSocket | undefined {
    const socket = binding.accept(this.#descriptor)
    if (socket === EAGAIN) return undefined
    if (socket < 0) throw new FdPassError(socket, 'accept')
    setUp(socket, this.#rules, this.#buffers)
    return new FdSocket(socket, this.#rules)
  }

  #update(): void {
    const waits = this.#queue.length > 0
    if (this.#descriptor >= 0 && waits) this.#watch.set(EPOLLIN)
    this.#keepAlive.waits = waits
  }

  protected override get held(): readonly number[] {
    return this.#descriptor < 0 ? [] : [this.#descriptor]
  }

  #open(syscall: string): number {
    if (this.#descriptor < 0) throw new FdPassError(EBADF, syscall)
    return this.#descriptor
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
