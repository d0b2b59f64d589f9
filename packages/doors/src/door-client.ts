import { Fd, FdSocket, type Message } from '@x/fdpass'
import { DOOR_LOCAL, type DoorParam } from './attributes.ts'
import { ClientSession, type Request, type Response } from './client-session.ts'
import { checkFields, DoorError, E, errnoOf, invalid } from './errors.ts'
import { InfoPage, type DoorInfo } from './info-page.ts'
import { paramOf, refusal } from './limits.ts'
import { Released, type SentFd } from './release.ts'
import { servedHere } from './served-here.ts'
import { decodeHeader, encodeHeader, Type } from './wire.ts'

export interface OpenOptions {
  /** Milliseconds until the server must have said that it is a door; 5000 unless told. */
  timeout?: number | undefined
  /** Of `openDoor`. */
  signal?: AbortSignal | undefined
}

export interface CallOptions {
  /** Descriptors that go along. One that is wrapped by `release` is closed here when they have gone. */
  fds?: Iterable<SentFd> | undefined
  /** Milliseconds until the call is given up: EINTR. */
  timeout?: number | undefined
  /** Gives the call up: EINTR. */
  signal?: AbortSignal | undefined
}

export type CallSyncOptions = Omit<CallOptions, 'signal'>

/** The most bytes, and descriptors, that a reply may have. */
const REPLY = { bytes: 256 * 1024 * 1024, fds: 1024 }
const PATIENCE = 5000
/** The server has gone, or has not come to its door for so long that it is no better. */
const GONE: ReadonlySet<number> = new Set([E.EAGAIN, E.EPIPE, E.ECONNRESET])
/** Of a file that is no socket, a socket of another type, one that nobody listens on. */
const NO_DOOR: ReadonlySet<number> = new Set([E.ECONNREFUSED, E.EPROTOTYPE, E.ENOTCONN, E.ENOTSOCK])
const fields = ['fds', 'timeout', 'signal']

/** A door that somebody else serves, or this process. It is one reference to it. */
export class DoorClient implements Disposable {
  readonly #socket: FdSocket
  readonly #page: InfoPage
  #session: ClientSession | undefined
  #blocking: ClientSession | undefined

  /** @internal */
  constructor(socket: FdSocket, page: InfoPage) {
    this.#socket = socket
    this.#page = page
    // Nothing is waited for on the door itself.
    socket.unref()
  }

  /**
   * Takes a descriptor of a door that was received or inherited. An Fd is closed for its holder. Throws DoorError EBADF
   * when it is no door; the descriptor is then closed.
   */
  static from(descriptor: Fd | number, { timeout = PATIENCE }: { timeout?: number } = {}): DoorClient {
    return clientOf(FdSocket.from(descriptor, {}), (socket) => socket.recvSync({ timeout, peek: true }))
  }

  /** Its number, borrowed: to be passed to others, who have the door too then. -1 once it is closed. */
  get fd(): number {
    return this.#socket.fd
  }

  /** What the server tells of it (door_info(3C)), read without a call. It tells of a revoked door too. */
  info(): DoorInfo {
    this.#check('door_info')
    const info = this.#page.info
    return { ...info, attributes: info.attributes | (info.target === process.pid ? DOOR_LOCAL : 0) }
  }

  /** A limit of calls (door_getparam(3C)). Throws DoorError EINVAL for an unknown one. */
  getParam(param: DoorParam): number {
    this.#check('door_getparam')
    return paramOf(this.#page.limits, param)
  }

  /**
   * Calls the procedure. Rejects with DoorError: EBADF (no door, revoked), ENOBUFS, ENOTSUP, ENFILE (the limits of the
   * door, in this order; nothing was sent), EINVAL (a bad descriptor), EINTR (given up, or the server has gone), EMFILE
   * (descriptors of the reply were lost), EREMOTEIO (the procedure threw).
   */
  async call(data: Uint8Array | string = '', options: CallOptions = {}): Promise<Response> {
    const request = this.#request(data, options)
    const { signal, timeout } = options
    signal?.throwIfAborted()
    const deadline = timeout === undefined ? undefined : AbortSignal.timeout(timeout)
    const signals = [signal, deadline].filter((each) => each !== undefined)
    this.#session = this.#usable(this.#session)
    return this.#session.call(request, signals.length > 1 ? AbortSignal.any(signals) : signals[0])
  }

  /** The same, blocking the thread. Throws DoorError EDEADLK when this thread serves the door. */
  callSync(data: Uint8Array | string = '', options: CallSyncOptions = {}): Response {
    const request = this.#request(data, options)
    if (servedHere.has(this.#page.info.uniquifier)) throw new DoorError(E.EDEADLK, 'door_call')
    this.#blocking = this.#usable(this.#blocking)
    return this.#blocking.callSync(request, options.timeout ?? Infinity)
  }

  /** Drops this reference. Calls that run end with EINTR. Closing twice is fine. */
  close(): void {
    this.#session?.close()
    this.#blocking?.close()
    this.#socket.close()
    this.#page.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #check(syscall: string): void {
    if (this.#socket.fd < 0) throw new DoorError(E.EBADF, syscall, { detail: 'the door is closed' })
  }

  #request(data: Uint8Array | string, options: CallOptions): Request {
    this.#check('door_call')
    checkFields(options, fields, 'door_call')
    if (options.timeout !== undefined && !(options.timeout >= 0))
      throw invalid('door_call', 'timeout is in milliseconds')
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (!(bytes instanceof Uint8Array)) throw invalid('door_call', 'data is a string or a Uint8Array')
    const fds = [...(options.fds ?? [])]
    const refused = refusal(this.#page, bytes.length, fds.length)
    if (refused !== 0) throw new DoorError(refused, 'door_call')
    for (const fd of fds) checkDescriptor(fd)
    return { data: bytes, fds }
  }

  /** A session of this client's own: nobody else, who may have the door too, sees its replies. */
  #usable(session: ClientSession | undefined): ClientSession {
    if (session?.open === true) return session
    const [here, there] = FdSocket.pair({ type: 'seqpacket' })
    try {
      const header = encodeHeader({ type: Type.session, sequence: 0, status: 0, length: 0, descriptors: 1 })
      this.#socket.sendSync(header, [there], { timeout: PATIENCE })
    } catch (cause) {
      here.close()
      const gone = GONE.has(errnoOf(cause) ?? 0)
      throw new DoorError(gone ? E.EBADF : (errnoOf(cause) ?? E.EBADF), 'door_call', { cause })
    } finally {
      there.close()
    }
    return new ClientSession(here, REPLY)
  }
}

function checkDescriptor(fd: SentFd): void {
  const number = typeof fd === 'number' ? fd : fd instanceof Released ? fd.owner.fd : fd.fd
  if (!Number.isInteger(number) || number < 0)
    throw invalid('door_call', 'a descriptor of the call is closed')
}

/** Looks at the hello of a door, and leaves it there for others who have the same descriptor. */
function clientOf(socket: FdSocket, look: (socket: FdSocket) => Message | null): DoorClient {
  try {
    return greeted(socket, look(socket))
  } catch (cause) {
    socket.close()
    throw cause instanceof DoorError ? cause : new DoorError(E.EBADF, 'door_info', { cause })
  }
}

function greeted(socket: FdSocket, message: Message | null): DoorClient {
  const packet = message === null ? undefined : decodeHeader(message.data)
  const [file] = message?.claim() ?? []
  const page = file !== undefined && packet?.type === Type.hello ? InfoPage.of(file) : undefined
  if (page === undefined) {
    file?.close()
    throw new DoorError(E.EBADF, 'door_info', { detail: 'this is no door' })
  }
  return new DoorClient(socket, page)
}

const asDoorError = (cause: unknown): DoorError => {
  const errno = errnoOf(cause) ?? E.EBADF
  return new DoorError(NO_DOOR.has(errno) ? E.EBADF : errno, 'open', { cause })
}

/**
 * Opens a door by its name: a path, or one that begins with NUL in the abstract name space. Rejects with DoorError:
 * ENOENT, EACCES; EBADF when it is no door, or nobody serves it any more; ETIMEDOUT.
 */
export async function openDoor(path: string, options: OpenOptions = {}): Promise<DoorClient> {
  const { timeout = PATIENCE, signal } = options
  let socket: FdSocket
  try {
    socket = await FdSocket.connect(path, { type: 'seqpacket', timeout, signal })
  } catch (cause) {
    if (signal?.aborted === true) throw cause
    throw asDoorError(cause)
  }
  try {
    return greeted(socket, await socket.recv({ timeout, signal, peek: true }))
  } catch (cause) {
    socket.close()
    throw cause instanceof DoorError || signal?.aborted === true ? cause : asDoorError(cause)
  }
}

/** The same, blocking the thread: not for a door that this thread serves (EDEADLK would be too late to say). */
export function openDoorSync(
  path: string,
  { timeout = PATIENCE }: Omit<OpenOptions, 'signal'> = {},
): DoorClient {
  let socket: FdSocket
  try {
    socket = FdSocket.connectSync(path, { type: 'seqpacket', timeout })
  } catch (cause) {
    throw asDoorError(cause)
  }
  return clientOf(socket, () => socket.recvSync({ timeout, peek: true }))
}
