import { closeSync } from 'node:fs'
import { Fd, FdSocket, type Message } from '@x/fdpass'
import { DOOR_LOCAL, type DoorParam } from './attributes.ts'
import { BlockingSession, NOT_SENT } from './blocking-session.ts'
import { checkFields, DoorError, E, errnoOf, invalid } from './errors.ts'
import { InfoPage, type DoorInfo } from './info-page.ts'
import { paramOf, refusal } from './limits.ts'
import { LoopSession } from './loop-session.ts'
import { ownDoors } from './own-doors.ts'
import { numberOf, type SentFd } from './release.ts'
import type { Request } from './request.ts'
import type { Response } from './response.ts'
import { decodeHeader, encodeHeader, SessionFlag, Type } from './wire.ts'

export interface OpenOptions {
  /** Milliseconds until the server must have said that it is a door; 5000 unless told. */
  timeout?: number | undefined
  /** Of `openDoor`. */
  signal?: AbortSignal | undefined
  /** False: calls go over sockets only, and the server is not asked for shared memory. */
  sharedMemory?: boolean | undefined
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
export type CallIntoOptions = Pick<CallOptions, 'timeout'>

const PATIENCE = 5000
const none: readonly SentFd[] = []
const noOptions: CallOptions = {}
/** The server has gone, or has not come to its door for so long that it is no better. */
const GONE: ReadonlySet<number> = new Set([E.EAGAIN, E.EPIPE, E.ECONNRESET])
/** Of a file that is no socket, a socket of another type, one that nobody listens on, or whose listener has just gone. */
const NO_DOOR: ReadonlySet<number> = new Set([
  E.ECONNREFUSED,
  E.ECONNRESET,
  E.EPROTOTYPE,
  E.ENOTCONN,
  E.ENOTSOCK,
])
const fields = ['fds', 'timeout', 'signal']
const openFields = ['timeout', 'signal', 'sharedMemory']

/** A door that somebody else serves, or this process. It is one reference to it. */
export class DoorClient implements Disposable {
  readonly #socket: FdSocket
  readonly #page: InfoPage
  readonly #uniquifier: bigint
  readonly #sharedMemory: boolean
  /** For one call at a time, with shared memory; for those beside it; and for calls that block. */
  #alone: LoopSession | undefined
  #beside: LoopSession | undefined
  #blocking: BlockingSession | undefined

  /** @internal */
  constructor(socket: FdSocket, page: InfoPage, sharedMemory: boolean) {
    this.#socket = socket
    this.#page = page
    this.#uniquifier = page.info.uniquifier
    this.#sharedMemory = sharedMemory
    // Nothing is waited for on the door itself.
    socket.unref()
  }

  /**
   * Takes a descriptor of a door that was received or inherited. An Fd is closed for its holder. Throws DoorError EBADF
   * when it is no door; the descriptor is then closed.
   */
  static from(descriptor: Fd | number, options: Omit<OpenOptions, 'signal'> = {}): DoorClient {
    const { timeout, sharedMemory } = checkOpen(options)
    return clientOf(socketOf(descriptor), sharedMemory, (socket) => socket.recvSync({ timeout, peek: true }))
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
  async call(data: Uint8Array | string = '', options: CallOptions = noOptions): Promise<Response> {
    const request = this.#request(data, options)
    const { signal, timeout } = options
    signal?.throwIfAborted()
    const givesUp = signalOf(signal, timeout)
    // A session that its server had closed before the call was sent is made anew, once.
    const response = this.#loopSession().call(request, givesUp) ?? this.#loopSession().call(request, givesUp)
    if (response === undefined) throw new DoorError(E.EINTR, 'door_call')
    return response
  }

  /** The same, blocking the thread. Throws DoorError EDEADLK when this thread serves the door. */
  callSync(data: Uint8Array | string = '', options: CallSyncOptions = {}): Response {
    const request = this.#request(data, options)
    this.#checkNotServedHere()
    const timeout = options.timeout ?? Infinity
    const response = this.#blockingSession().call(request, timeout)
    return response !== NOT_SENT ? response : this.#again((session) => session.call(request, timeout))
  }

  /**
   * Calls with the bytes of `request`, and blocks the thread until the reply is in `out`: nothing is allocated. Returns the
   * part of `out` that the reply takes; a reply that is longer comes in memory of its own, as on Solaris. The two may be
   * the same memory. Descriptors of the reply are closed. Throws as `callSync`.
   */
  callInto(request: Uint8Array, out: Uint8Array, options?: CallIntoOptions): Uint8Array {
    this.#check('door_call')
    const timeout = options === undefined ? Infinity : timeoutOf(options)
    if (!(request instanceof Uint8Array) || !(out instanceof Uint8Array))
      throw invalid('door_call', 'request and out are Uint8Arrays')
    if (!this.#page.admits(request.length)) this.#checkLimits(request.length, 0)
    this.#checkNotServedHere()
    const reply = this.#blockingSession().callInto(request, out, timeout)
    return reply !== NOT_SENT ? reply : this.#again((session) => session.callInto(request, out, timeout))
  }

  /** Drops this reference. Calls that run end with EINTR. Closing twice is fine. */
  close(): void {
    this.#alone?.close()
    this.#beside?.close()
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
    checkTimeout(options.timeout, 'door_call')
    const bytes = typeof data === 'string' ? Buffer.from(data) : data
    if (!(bytes instanceof Uint8Array)) throw invalid('door_call', 'data is a string or a Uint8Array')
    const fds = options.fds === undefined ? none : [...options.fds]
    this.#checkLimits(bytes.length, fds.length)
    for (const fd of fds) checkDescriptor(fd)
    return { data: bytes, fds }
  }

  /** Throws when the door would not take such a call, in the order of door_call(3C). */
  #checkLimits(length: number, descriptors: number): void {
    const refused = refusal(this.#page, length, descriptors)
    if (refused !== 0) throw new DoorError(refused, 'door_call')
  }

  /** A session that its server had closed before the call was sent is made anew, once. */
  #again<T>(call: (session: BlockingSession) => T | typeof NOT_SENT): T {
    const reply = call(this.#blockingSession())
    if (reply === NOT_SENT) throw new DoorError(E.EINTR, 'door_call')
    return reply
  }

  #checkNotServedHere(): void {
    if (ownDoors.get(this.#uniquifier)?.runsHere === true) throw new DoorError(E.EDEADLK, 'door_call')
  }

  #blockingSession(): BlockingSession {
    if (this.#blocking?.open === true) return this.#blocking
    const area = this.#sharedMemory ? SessionFlag.area : 0
    const socket = this.#newSession(SessionFlag.sequential | area)
    this.#blocking = new BlockingSession(socket, area !== 0)
    return this.#blocking
  }

  #loopSession(): LoopSession {
    if (this.#sharedMemory) {
      if (this.#alone?.open !== true) this.#alone = this.#newLoopSession(true)
      if (this.#alone.free) return this.#alone
    }
    if (this.#beside?.open !== true) this.#beside = this.#newLoopSession(false)
    return this.#beside
  }

  #newLoopSession(area: boolean): LoopSession {
    return new LoopSession(this.#newSession(area ? SessionFlag.sequential | SessionFlag.area : 0), area)
  }

  /** A session of this client's own: nobody else, who may have the door too, sees its replies. */
  #newSession(flags: number): FdSocket {
    const [here, there] = FdSocket.pair({ type: 'seqpacket' })
    const own = ownDoors.get(this.#uniquifier)
    if (own !== undefined) {
      own.admit(there, flags)
      return here
    }
    try {
      const packet = { type: Type.session, sequence: 0, status: flags, length: 0, descriptors: 1 }
      this.#socket.sendSync(encodeHeader(packet), [there], { timeout: PATIENCE })
      return here
    } catch (cause) {
      here.close()
      const gone = GONE.has(errnoOf(cause) ?? 0)
      throw new DoorError(gone ? E.EBADF : (errnoOf(cause) ?? E.EBADF), 'door_call', { cause })
    } finally {
      there.close()
    }
  }
}

function signalOf(signal: AbortSignal | undefined, timeout: number | undefined): AbortSignal | undefined {
  if (timeout === undefined) return signal
  const deadline = AbortSignal.timeout(timeout)
  return signal === undefined ? deadline : AbortSignal.any([signal, deadline])
}

/** Throws DoorError EINVAL. */
function timeoutOf(options: CallIntoOptions): number {
  checkFields(options, ['timeout'], 'door_call')
  const { timeout = Infinity } = options
  checkTimeout(timeout, 'door_call')
  return timeout
}

function checkTimeout(timeout: number | undefined, syscall: string): void {
  if (timeout !== undefined && !(timeout >= 0)) throw invalid(syscall, 'timeout is in milliseconds')
}

/** Throws DoorError EINVAL for an option that there is not, or that is of another type. */
function checkOpen(options: OpenOptions): { timeout: number; sharedMemory: boolean } {
  checkFields(options, openFields, 'open')
  const { timeout = PATIENCE, sharedMemory = true } = options
  checkTimeout(timeout, 'open')
  if (typeof sharedMemory !== 'boolean') throw invalid('open', 'sharedMemory is true or false')
  return { timeout, sharedMemory }
}

function checkDescriptor(fd: SentFd): void {
  if (numberOf(fd) < 0) throw invalid('door_call', 'a descriptor of the call is closed')
}

/** Takes it over, and closes it when it is no socket. */
function socketOf(descriptor: Fd | number): FdSocket {
  try {
    return FdSocket.from(descriptor, {})
  } catch (cause) {
    if (descriptor instanceof Fd) descriptor.close()
    else if (Number.isInteger(descriptor) && descriptor >= 0) closeQuietly(descriptor)
    throw new DoorError(E.EBADF, 'door_info', { cause })
  }
}

function closeQuietly(descriptor: number): void {
  try {
    closeSync(descriptor)
  } catch {
    // It is none.
  }
}

/** Looks at the hello of a door, and leaves it there for others who have the same descriptor. */
function clientOf(
  socket: FdSocket,
  sharedMemory: boolean,
  look: (socket: FdSocket) => Message | null,
): DoorClient {
  try {
    return greeted(socket, sharedMemory, look(socket))
  } catch (cause) {
    socket.close()
    throw cause instanceof DoorError ? cause : new DoorError(E.EBADF, 'door_info', { cause })
  }
}

function greeted(socket: FdSocket, sharedMemory: boolean, message: Message | null): DoorClient {
  const packet = message === null ? undefined : decodeHeader(message.data)
  const [file] = message?.claim() ?? []
  const page = file !== undefined && packet?.type === Type.hello ? InfoPage.of(file) : undefined
  if (page === undefined) {
    file?.close()
    throw new DoorError(E.EBADF, 'door_info', { detail: 'this is no door' })
  }
  return new DoorClient(socket, page, sharedMemory)
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
  const { timeout, sharedMemory } = checkOpen(options)
  const { signal } = options
  let socket: FdSocket
  try {
    socket = await FdSocket.connect(path, { type: 'seqpacket', timeout, signal })
  } catch (cause) {
    if (signal?.aborted === true) throw cause
    throw asDoorError(cause)
  }
  try {
    return greeted(socket, sharedMemory, await socket.recv({ timeout, signal, peek: true }))
  } catch (cause) {
    socket.close()
    throw cause instanceof DoorError || signal?.aborted === true ? cause : asDoorError(cause)
  }
}

/** The same, blocking the thread. */
export function openDoorSync(path: string, options: Omit<OpenOptions, 'signal'> = {}): DoorClient {
  const { timeout, sharedMemory } = checkOpen(options)
  let socket: FdSocket
  try {
    socket = FdSocket.connectSync(path, { type: 'seqpacket', timeout })
  } catch (cause) {
    throw asDoorError(cause)
  }
  // A door of this thread has no turn of the event loop in which it would notice.
  for (const own of ownDoors.values()) own.letIn()
  return clientOf(socket, sharedMemory, () => socket.recvSync({ timeout, peek: true }))
}
