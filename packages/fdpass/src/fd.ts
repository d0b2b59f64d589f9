import type { Socket as DatagramSocket } from 'node:dgram'
import { fstatSync, type Stats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Server, Socket } from 'node:net'
import type { ReadStream, WriteStream } from 'node:tty'
import type { NonblockingOptions } from './adoption.ts'
import { binding } from './binding.ts'
import { EBADF, EINVAL } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { FdKind } from './fd-kind.ts'
import { fileFlagsOf } from './file-flags.ts'
import { Owner } from './ownership.ts'
import { addSeals, sealsOf, type Seal } from './seals.ts'
import { toDgram } from './to-dgram.ts'
import { toFileHandle } from './to-file-handle.ts'
import { toServer, type AdoptedServerOptions } from './to-server.ts'
import { toSocket, type AdoptedSocketOptions } from './to-socket.ts'
import { toTty } from './to-tty.ts'

/** A descriptor by its number, or whatever has one: an Fd, an FdSocket, a FileHandle of node:fs. It is borrowed. */
export type FdLike = number | { readonly fd: number }

/** The number of a descriptor that is borrowed for the length of a call. Throws FdPassError EBADF when it is none. */
export function numberOf(descriptor: FdLike, syscall: string): number {
  const number = typeof descriptor === 'number' ? descriptor : descriptor.fd
  if (!Number.isInteger(number) || number < 0 || number > 0x7fffffff) throw new FdPassError(EBADF, syscall)
  return number
}

/**
 * A descriptor with one owner: whoever holds this. It is close-on-exec, and belongs to the thread that made it: when
 * that ends, however it ends, the descriptor is closed.
 */
export class Fd extends Owner implements Disposable {
  #number: number

  /** @internal */
  constructor(number: number) {
    super()
    this.#number = number
    this.begin(0)
  }

  /**
   * Makes an owner of a descriptor that has none. It becomes close-on-exec. Throws FdPassError EBADF when it is not
   * open, EBUSY when this thread owns it already. What another thread or a handle of Node's owns cannot be seen here:
   * it must have let go before. What node:fs opened in a worker never lets go: see the page of Fd.
   */
  static from(number: number): Fd {
    const error = binding.adopt(numberOf(number, 'adopt'))
    if (error < 0) throw new FdPassError(error, 'adopt')
    return new Fd(number)
  }

  /**
   * For addons that receive descriptors: a native function `(numbers: Int32Array, first, count)`, which makes them this
   * thread's. Called from native code there is no moment at which they are nobody's, even when the thread is terminated:
   * it has been called, or it has failed. Each is wrapped by {@link Fd.owned} then.
   */
  static readonly adopter: (numbers: Int32Array, first: number, count: number) => number = binding.adoptAll

  /** An Fd of a number that {@link Fd.adopter} has been given, and that has none yet. */
  static owned(number: number): Fd {
    return new Fd(number)
  }

  /**
   * Opens a file (open(2)); `flags` are the constants O_* of node:fs, `mode` that of a file which is made: 0o666, less
   * the umask, unless told. Unlike one of fs.openSync, a worker's descriptor is not closed by Node behind its owner.
   */
  static open(path: string, flags: number, mode = 0o666): Fd {
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      throw new FdPassError(EINVAL, 'open', { detail: 'the path is a string that is not empty, without NUL' })
    }
    if (!Number.isInteger(flags) || !Number.isInteger(mode)) {
      throw new FdPassError(EINVAL, 'open', { detail: 'flags and mode are numbers, as in open(2)' })
    }
    const number = binding.open(path, flags, mode)
    if (number < 0) throw new FdPassError(number, 'open')
    return new Fd(number)
  }

  /** Its number, borrowed; -1 once it was closed or taken. */
  get fd(): number {
    return this.#number
  }

  /** What it refers to. Throws FdPassError EBADF when it is closed. */
  get kind(): FdKind {
    const kind = binding.kind(this.#open('fstat'))
    if (typeof kind === 'number') throw new FdPassError(kind, 'fstat')
    return kind as FdKind
  }

  /** stat(2) of what it refers to. */
  stat(): Stats {
    return fstatSync(this.#open('fstat'))
  }

  /**
   * Whether calls on its open file description wait (O_NONBLOCK is off). The description is shared with whoever has
   * sent or duplicated it.
   */
  get blocking(): boolean {
    const O_NONBLOCK = 0o4000
    return (fileFlagsOf(this.#open('fcntl')) & O_NONBLOCK) === 0
  }

  /** Sets or clears O_NONBLOCK of the description: for all processes that share it. */
  setBlocking(blocking: boolean): void {
    if (typeof blocking !== 'boolean') {
      throw new FdPassError(EINVAL, 'fcntl', { detail: 'blocking is a boolean' })
    }
    const error = binding.setBlocking(this.#open('fcntl'), blocking)
    if (error < 0) throw new FdPassError(error, 'fcntl')
  }

  /** Another descriptor of the same description, with an owner of its own. */
  dup(): Fd {
    const number = binding.duplicate(this.#open('dup'))
    if (number < 0) throw new FdPassError(number, 'dup')
    return new Fd(number)
  }

  /**
   * A new description of the same file, pipe, or terminal, with an offset and an O_NONBLOCK of its own; through /proc.
   * `flags` are those of open(2). Sockets cannot be reopened (ENXIO).
   */
  reopen(flags: number): Fd {
    if (!Number.isInteger(flags))
      throw new FdPassError(EINVAL, 'open', { detail: 'flags are those of open(2)' })
    const number = binding.reopen(this.#open('open'), flags)
    if (number < 0) throw new FdPassError(number, 'open')
    return new Fd(number)
  }

  /**
   * The seals of its file, of a memfd or in shared memory (F_GET_SEALS, fcntl(2)). Throws FdPassError EINVAL when it can
   * have none.
   */
  get seals(): (Seal | `unknown:${number}`)[] {
    return sealsOf(this.#open('fcntl'))
  }

  /**
   * Puts seals on its file, for all who have it, for ever (F_ADD_SEALS, fcntl(2)). Throws FdPassError: EPERM when it has
   * the seal `seal`, or the descriptor is not open for writing; EBUSY for `write` while memory that can be written is
   * mapped; EINVAL for a name that is none, and for a file that can have none.
   */
  addSeals(...seals: Seal[]): void {
    addSeals(this.#open('fcntl'), seals)
  }

  /**
   * Makes it a FileHandle of node:fs/promises, which has the same open file description. For file, memfd, directory,
   * block-device and character-device. Once it resolves this has nothing any more; when it rejects this is as before.
   * Rejects with FdPassError: EINVAL for another kind, EBADF, EMFILE.
   */
  toFileHandle(): Promise<FileHandle> {
    return toFileHandle(this)
  }

  /**
   * Makes it a net.Socket. For tcp, unix-stream, pipe and fifo. Node wants it non-blocking: a pipe that blocks is opened
   * anew, by /proc; a socket that blocks is refused, without `nonblocking`. Afterwards this has nothing any more; when it
   * throws this is as before.
   *
   * Throws FdPassError: EINVAL for another kind, one that blocks, or a direction that a pipe's end has not; EBADF; of
   * a pipe that cannot be opened anew what open(2) says: EACCES, ENXIO (a FIFO that nobody reads), ENOENT (no /proc).
   */
  toSocket(options: AdoptedSocketOptions = {}): Socket {
    return toSocket(this, options)
  }

  /**
   * Makes it a net.Server that listens. For tcp-listener and unix-stream-listener. Once it resolves this has nothing
   * any more; when it rejects this is as before. Rejects with FdPassError: EINVAL for another kind, or one that blocks,
   * without `nonblocking`; ENOTSUP in a worker of node:cluster, where Node takes descriptors of the primary process;
   * EBADF.
   */
  toServer(
    options: AdoptedServerOptions = {},
    connectionListener?: (socket: Socket) => void,
  ): Promise<Server> {
    return toServer(this, options, connectionListener)
  }

  /**
   * Makes it a dgram.Socket that receives; it is bound already, and tells no 'listening'. For udp. Afterwards this has
   * nothing any more; when it throws this is as before. Throws FdPassError: EINVAL for another kind, or one that blocks,
   * without `nonblocking`; EISCONN for a connected one, which Node cannot send on; EBADF.
   */
  toDgram(options: NonblockingOptions = {}): DatagramSocket {
    return toDgram(this, options)
  }

  /**
   * Makes it a stream of node:tty, to read unless told. For tty, which is opened anew, so that its O_NONBLOCK stays as
   * it is for others; the master of a pty is taken as it is, to read, and its ReadStream writes too. Afterwards this has
   * nothing any more; when it throws this is as before.
   *
   * Throws FdPassError: EINVAL for another kind, or a direction that it is not open for; EIO when it was hung up; EBADF;
   * and what open(2) says when it cannot be opened anew: EACCES, ENOENT (no /proc).
   */
  toTty(direction?: 'read'): ReadStream
  toTty(direction: 'write'): WriteStream
  toTty(direction: 'read' | 'write' = 'read'): ReadStream | WriteStream {
    return toTty(this, direction)
  }

  /** Gives its number away: the caller closes it from now on. Throws FdPassError EBADF when it is closed. */
  take(): number {
    const number = this.#open('take')
    const error = binding.take(number)
    if (error < 0) throw new FdPassError(error, 'take')
    this.#let()
    return number
  }

  /** Closes it. Closing twice is fine. */
  close(): void {
    if (this.#number < 0) return
    const number = this.#number
    this.#let()
    const error = binding.close(number)
    if (error < 0) throw new FdPassError(error, 'close')
  }

  [Symbol.dispose](): void {
    this.close()
  }

  protected override get held(): readonly number[] {
    return this.#number < 0 ? [] : [this.#number]
  }

  #open(syscall: string): number {
    if (this.#number < 0) throw new FdPassError(EBADF, syscall)
    return this.#number
  }

  #let(): void {
    this.#number = -1
    this.finish()
  }
}
