import type { Fd, FdSocket, Message } from '@x/fdpass'
import { DoorError, E, errnoOf } from './errors.ts'
import { Assembly, piecesOf, type Room, type Whole } from './pieces.ts'
import { closeReleased, type SentFd } from './release.ts'
import { decodeHeader, encodeHeader, Type } from './wire.ts'

/** What a call has brought. */
export class Response implements Disposable {
  readonly data: Buffer
  /** The caller's, to be closed; closed with this unless they were taken. */
  readonly fds: readonly Fd[]

  /** @internal */
  constructor(data: Buffer, fds: readonly Fd[]) {
    this.data = data
    this.fds = fds
  }

  close(): void {
    for (const fd of this.fds) fd.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

interface Waiting {
  resolve: (response: Response) => void
  reject: (error: unknown) => void
}

/** A request on its way. */
export interface Request {
  readonly data: Uint8Array
  readonly fds: readonly SentFd[]
}

/** The client's side of a session: calls go out, and replies come in, in any order. */
export class ClientSession {
  readonly #socket: FdSocket
  readonly #room: Room
  readonly #assembly = new Assembly()
  readonly #waiting = new Map<number, Waiting>()
  #sequence = 0
  #reading = false

  constructor(socket: FdSocket, room: Room) {
    this.#socket = socket
    this.#room = room
  }

  get open(): boolean {
    return this.#socket.fd >= 0
  }

  /** Calls, and waits in the event loop. `signal` gives it up: EINTR, and the server is told. */
  async call(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    const sequence = this.#next()
    const answer = new Promise<Response>((resolve, reject) =>
      this.#waiting.set(sequence, { resolve, reject }),
    )
    answer.catch(() => undefined)
    const giveUp = (): void => {
      this.#waiting.get(sequence)?.reject(interrupted(signal?.reason))
      if (this.#waiting.delete(sequence)) this.#cancel(sequence)
    }
    signal?.addEventListener('abort', giveUp, { once: true })
    try {
      await this.#send(sequence, request)
      void this.#read()
      return await answer
    } catch (error) {
      throw this.#failure(error)
    } finally {
      this.#waiting.delete(sequence)
      signal?.removeEventListener('abort', giveUp)
    }
  }

  /** The same, blocking the thread. A call that is given up ends the session: its reply must not be another's. */
  callSync({ data, fds }: Request, timeout: number): Response {
    const sequence = this.#next()
    const deadline = performance.now() + timeout
    const left = (): { timeout?: number } =>
      timeout === Infinity ? {} : { timeout: Math.max(0, deadline - performance.now()) }
    try {
      for (const piece of this.#pieces(sequence, { data, fds }))
        this.#socket.sendSync(piece.bytes, piece.fds, left())
      closeReleased(fds)
      for (;;) {
        const message = this.#socket.recvSync(left())
        const whole = message === null ? null : this.#take(message)
        if (whole === null) throw serverGone()
        if (whole?.sequence === sequence) return responseOf(whole)
      }
    } catch (error) {
      if (!(error instanceof DoorError) || error.errno === E.EINTR) this.close()
      throw this.#failure(error)
    }
  }

  close(): void {
    this.#socket.close()
    this.#assembly.close()
    this.#failAll(serverGone())
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0
    return this.#sequence
  }

  #pieces(sequence: number, { data, fds }: Request): ReturnType<typeof piecesOf> {
    const packet = { type: Type.call, sequence, status: 0, length: data.length, descriptors: fds.length }
    return piecesOf(packet, data, fds)
  }

  async #send(sequence: number, request: Request): Promise<void> {
    await Promise.all(this.#pieces(sequence, request).map(({ bytes, fds }) => this.#socket.send(bytes, fds)))
    closeReleased(request.fds)
  }

  #cancel(sequence: number): void {
    const packet = { type: Type.cancel, sequence, status: 0, length: 0, descriptors: 0 }
    this.#socket.send(encodeHeader(packet)).catch(() => undefined)
  }

  /** As long as somebody waits. */
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#waiting.size > 0) {
        const message = await this.#socket.recv()
        const whole = message === null ? null : this.#take(message)
        if (whole === null) break
        if (whole !== undefined) this.#settle(whole)
      }
      if (this.#waiting.size > 0) this.close()
    } catch (error) {
      // Descriptors of one reply were lost, and nobody knows of which: all that wait are told.
      this.#failAll(this.#failure(error))
      this.close()
    } finally {
      this.#reading = false
    }
  }

  #take(message: Message): Whole | undefined | null {
    const packet = decodeHeader(message.data)
    const expected = packet?.type === Type.reply || packet?.type === Type.more
    const whole = packet !== undefined && expected ? this.#assembly.push(packet, message, this.#room) : null
    message.close()
    return whole
  }

  #settle(whole: Whole): void {
    const waiting = this.#waiting.get(whole.sequence)
    this.#waiting.delete(whole.sequence)
    if (waiting === undefined) {
      for (const fd of whole.fds) fd.close()
      return
    }
    try {
      waiting.resolve(responseOf(whole))
    } catch (error) {
      waiting.reject(error)
    }
  }

  #failAll(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }

  #failure(error: unknown): unknown {
    if (error instanceof DoorError) return error
    const errno = errnoOf(error)
    const known: Record<number, number> = {
      [E.ETIMEDOUT]: E.EINTR,
      [E.EBADF]: this.open ? E.EINVAL : E.EBADF,
      [E.EPIPE]: E.EINTR,
      [E.ECONNRESET]: E.EINTR,
      [E.EPERM]: E.ENOTSUP,
    }
    return errno === undefined ? error : new DoorError(known[errno] ?? errno, 'door_call', { cause: error })
  }
}

const serverGone = (): DoorError => new DoorError(E.EINTR, 'door_call', { detail: 'the server has gone' })

function interrupted(cause: unknown): DoorError {
  return new DoorError(E.EINTR, 'door_call', { cause })
}

function responseOf({ status, data, fds }: Whole): Response {
  if (status === 0) return new Response(data, fds)
  for (const fd of fds) fd.close()
  const detail = status === E.EREMOTEIO ? `the procedure failed: ${data.toString()}` : undefined
  throw new DoorError(status < 0 ? status : E.EPROTO, 'door_call', { detail })
}
