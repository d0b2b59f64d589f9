import type { Fd, FdSocket, Message } from '@x/fdpass'
import { callerOf, type Caller } from './caller.ts'
import { DoorError, E, errnoOf } from './errors.ts'
import { Assembly, piecesOf, type Room, type Whole } from './pieces.ts'
import { closeReleased, type SentFd } from './release.ts'
import { decodeHeader, Type, type Packet } from './wire.ts'

/** What a procedure may answer: bytes, or bytes and descriptors. */
export type Reply =
  | Uint8Array
  | string
  | undefined
  | { data?: Uint8Array | string | undefined; fds?: Iterable<SentFd> | undefined }

/** What a procedure has beside the bytes of the call. */
export interface CallContext {
  /** Aborted when the caller has gone or does not wait any more, but of a door with DOOR_NO_CANCEL. */
  readonly signal: AbortSignal
  /** Who calls. Throws DoorError EINVAL when the caller has gone. */
  readonly caller: Caller
  /** Descriptors that came with the call. They are closed when the procedure has ended, but those that were taken. */
  readonly fds: readonly Fd[]
  /** As it was given to createDoor. */
  readonly cookie: unknown
}

/** What a session asks its door. */
export interface Served {
  /** Limits of a call, as they are now. */
  readonly room: Room
  /** 0, or the errno that the call is refused with before its procedure. */
  refuses(packet: Packet): number
  /** A call begins, and ends: it has been answered, or there is nobody to answer. */
  enter(): void
  leave(): void
  /** Runs the procedure. */
  run(data: Buffer | null, context: CallContext): Reply | Promise<Reply>
  readonly cancels: boolean
  readonly cookie: unknown
}

const bytesOf = (data: Uint8Array | string | undefined): Uint8Array =>
  typeof data === 'string' ? Buffer.from(data) : (data ?? Buffer.alloc(0))

interface Answer {
  readonly data: Uint8Array
  readonly fds: readonly SentFd[]
}

const answerOf = (reply: Reply): Answer =>
  reply === undefined || typeof reply === 'string' || reply instanceof Uint8Array
    ? { data: bytesOf(reply), fds: [] }
    : { data: bytesOf(reply.data), fds: [...(reply.fds ?? [])] }

/** The server's side of one client's session: calls come in, and each is answered when its procedure has ended. */
export class ServerSession {
  readonly #socket: FdSocket
  readonly #served: Served
  readonly #assembly = new Assembly()
  readonly #running = new Map<number, AbortController>()

  constructor(socket: FdSocket, served: Served) {
    this.#socket = socket
    this.#served = served
  }

  /** Until the client ends it, or sends what is no call. */
  async run(): Promise<void> {
    try {
      for await (const message of this.#socket) {
        const good = this.#take(message)
        message.close()
        if (!good) break
      }
    } catch {
      // Descriptors that were lost on the way, a reset: this session cannot be relied on any more.
    }
    this.close()
  }

  close(): void {
    this.#socket.close()
    this.#assembly.close()
    for (const sequence of this.#running.keys()) this.#cancel(sequence)
  }

  #take(message: Message): boolean {
    const packet = decodeHeader(message.data)
    if (packet === undefined) return false
    if (packet.type === Type.cancel) {
      this.#cancel(packet.sequence)
      return true
    }
    if (packet.type !== Type.call && packet.type !== Type.more) return false
    if (packet.type === Type.call && this.#running.has(packet.sequence)) return false
    const whole = this.#assembly.push(packet, message, this.#served.room)
    if (whole === null) return false
    if (whole !== undefined) void this.#serve(whole)
    return true
  }

  #cancel(sequence: number): void {
    const controller = this.#running.get(sequence)
    if (this.#served.cancels)
      controller?.abort(new DoorError(E.EINTR, 'door_call', { detail: 'the caller has gone' }))
  }

  async #serve(call: Whole): Promise<void> {
    const refused = this.#served.refuses(call)
    if (refused !== 0) {
      for (const fd of call.fds) fd.close()
      await this.#reply(call.sequence, refused, { data: bytesOf(undefined), fds: [] })
      return
    }
    const controller = new AbortController()
    this.#running.set(call.sequence, controller)
    this.#served.enter()
    const session = this.#socket
    const context: CallContext = {
      signal: controller.signal,
      get caller() {
        return callerOf(session)
      },
      fds: call.fds,
      cookie: this.#served.cookie,
    }
    try {
      const answer = answerOf(await this.#served.run(call.length === 0 ? null : call.data, context))
      this.#running.delete(call.sequence)
      await this.#reply(call.sequence, 0, answer)
    } catch (error) {
      this.#running.delete(call.sequence)
      await this.#reply(call.sequence, E.EREMOTEIO, { data: bytesOf(messageOf(error)), fds: [] })
    } finally {
      for (const fd of call.fds) fd.close()
      this.#served.leave()
    }
  }

  /** Nobody to answer is no error: the results are dropped, and what was released is closed. */
  async #reply(sequence: number, status: number, { data, fds }: Answer): Promise<void> {
    const packet = { type: Type.reply, sequence, status, length: data.length, descriptors: fds.length }
    try {
      await Promise.all(
        piecesOf(packet, data, fds).map(({ bytes, fds: some }) => this.#socket.send(bytes, some)),
      )
    } catch (error) {
      // A descriptor that is none: the caller waits for an answer all the same.
      if (errnoOf(error) === E.EBADF && this.#socket.fd >= 0 && status === 0) {
        await this.#reply(sequence, E.EINVAL, { data: bytesOf(undefined), fds: [] })
      }
    }
    closeReleased(fds)
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
