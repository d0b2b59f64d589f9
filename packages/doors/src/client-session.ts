import type { FdSocket, Message } from '@x/fdpass'
import { callError } from './call-error.ts'
import { DoorError, E, errnoOf } from './errors.ts'
import { Assembly, piecesOf, type Room, type Whole } from './pieces.ts'
import { closeReleased, type SentFd } from './release.ts'
import { Places } from './places.ts'
import { Response } from './response.ts'
import { decodeHeader, encodeHeader, Type } from './wire.ts'

interface Waiting {
  resolve: (response: Response) => void
  reject: (error: unknown) => void
}

/** Calls that a session may have at a time (docs/protocol.md). */
const MOST_CALLS = 64

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
  /** One is taken until the reply is here, also when nobody waits for that any more. */
  readonly #places = new Places(MOST_CALLS)
  #expected = 0
  #sequence = 0
  #reading = false

  constructor(socket: FdSocket, room: Room) {
    this.#socket = socket
    this.#room = room
  }

  get open(): boolean {
    return this.#socket.fd >= 0
  }

  /**
   * Calls, and waits in the event loop. `signal` gives it up: EINTR, and the server is told; EAGAIN when it has not been
   * sent, because too many others run.
   */
  call(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    return this.#places.take() ? this.#call(request, signal) : this.#callLater(request, signal)
  }

  async #callLater(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    if (await this.#places.wait(signal)) return this.#call(request, signal)
    throw new DoorError(E.EAGAIN, 'door_call', { cause: signal?.reason })
  }

  #call(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    const sequence = this.#next()
    const answer = this.#answerTo(sequence)
    this.#send(sequence, request)
    void this.#read()
    return signal === undefined ? answer : this.#unless(signal, sequence, answer)
  }

  async #unless(signal: AbortSignal, sequence: number, answer: Promise<Response>): Promise<Response> {
    const giveUp = (): void => {
      this.#giveUp(sequence, signal.reason)
    }
    signal.addEventListener('abort', giveUp, { once: true })
    if (signal.aborted) giveUp()
    try {
      return await answer
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  #answerTo(sequence: number): Promise<Response> {
    this.#expected++
    if (this.#waiting.size === 0) this.#socket.ref()
    const answer = new Promise<Response>((resolve, reject) =>
      this.#waiting.set(sequence, { resolve, reject }),
    )
    answer.catch(() => undefined)
    return answer
  }

  #giveUp(sequence: number, cause: unknown): void {
    this.#waiting.get(sequence)?.reject(new DoorError(E.EINTR, 'door_call', { cause }))
    if (!this.#waiting.delete(sequence)) return
    // The reply is read when it comes, and keeps no process alive until then.
    if (this.#waiting.size === 0) this.#socket.unref()
    const packet = { type: Type.cancel, sequence, status: 0, length: 0, descriptors: 0 }
    this.#socket.send(encodeHeader(packet)).catch(() => undefined)
  }

  close(): void {
    this.#socket.close()
    this.#assembly.close()
    this.#failAll(serverGone())
    for (; this.#expected > 0; this.#expected--) this.#places.give()
  }

  #next(): number {
    this.#sequence = (this.#sequence + 1) >>> 0
    return this.#sequence
  }

  /** What fails settles the answer. */
  #send(sequence: number, { data, fds }: Request): void {
    const packet = { type: Type.call, sequence, status: 0, length: data.length, descriptors: fds.length }
    const pieces = piecesOf(packet, data, fds)
    const sent = pieces.map((piece) => this.#socket.send(piece.bytes, piece.fds))
    Promise.all(sent).then(
      () => {
        closeReleased(fds)
      },
      (error: unknown) => {
        this.#reject(sequence, error)
        // What is one piece has not gone at all; of several some have, and the server waits for the rest of them.
        if (pieces.length > 1) this.close()
        else this.#arrived()
      },
    )
  }

  #reject(sequence: number, error: unknown): void {
    const waiting = this.#waiting.get(sequence)
    this.#waiting.delete(sequence)
    waiting?.reject(this.#failure(error))
  }

  /** A reply that was expected is not, any more. */
  #arrived(): void {
    if (this.#expected === 0) return
    this.#expected--
    this.#places.give()
  }

  /** As long as replies are expected. */
  async #read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#expected > 0) {
        const message = await this.#socket.recv()
        const whole = message === null ? null : this.#take(message)
        if (whole === null) break
        if (whole !== undefined) this.#settle(whole)
      }
      if (this.#expected > 0) this.close()
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
    this.#arrived()
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

function responseOf({ kept, status, data, fds }: Whole): Response {
  if (!kept) throw new DoorError(E.EOVERFLOW, 'door_call')
  if (status === 0) return new Response(data, fds)
  for (const fd of fds) fd.close()
  throw callError(status, data)
}
