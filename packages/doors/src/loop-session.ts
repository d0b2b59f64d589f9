import type { FdSocket } from '@x/fdpass'
import { binding, Place, Reply } from './binding.ts'
import { callError } from './call-error.ts'
import { DoorError, E } from './errors.ts'
import { Places } from './places.ts'
import { bufferOf, descriptorsOf, lengthAt } from './record.ts'
import { closeReleased, numbersOf, type SentFd } from './release.ts'
import type { Request } from './request.ts'
import { Response } from './response.ts'

interface Waiting {
  readonly resolve: (response: Response) => void
  readonly reject: (error: unknown) => void
}

/** Calls that a session may have at a time, without an area and with one (docs/protocol.md). */
const MOST_CALLS = 64
const ONE_CALL = 1

const { numbers } = binding
const scratch = bufferOf(binding.replyBytes)

const sessions = new Map<number, LoopSession>()
binding.setListener((client, result) => sessions.get(client)?.told(result))

/** The client's side of a session whose replies are waited for in the event loop. */
export class LoopSession {
  readonly #client: number
  /** One call at a time, whose data is in shared memory, if the server makes some. */
  readonly #area: boolean
  readonly #waiting = new Map<number, Waiting>()
  /** Of calls that wait for room: to be released when they have gone. */
  readonly #queued = new Map<number, readonly SentFd[]>()
  /** One is taken until the reply is here, also when nobody waits for that any more. */
  readonly #places: Places
  #expected = 0
  /** Calls that wait for a place. */
  #later = 0
  #sequence = 0
  #open = true

  /** Takes the socket over. `area`: the server was asked for shared memory. Throws DoorError. */
  constructor(socket: FdSocket, area: boolean) {
    this.#client = binding.loopOpen(socket.take(), area)
    if (this.#client < 0) throw new DoorError(this.#client, 'door_call')
    this.#area = area
    this.#places = new Places(area ? ONE_CALL : MOST_CALLS)
    sessions.set(this.#client, this)
  }

  get open(): boolean {
    return this.#open
  }

  /** Whether a call need not wait for others. */
  get free(): boolean {
    return this.#places.free
  }

  /**
   * Calls, and waits in the event loop. `signal` gives it up: EINTR, and the server is told; EAGAIN when it has not been
   * sent, because too many others run. Undefined: the server had closed the session before; another one may try.
   */
  call(request: Request, signal: AbortSignal | undefined): Promise<Response> | undefined {
    return this.#places.take() ? this.#call(request, signal) : this.#callLater(request, signal)
  }

  async #callLater(request: Request, signal: AbortSignal | undefined): Promise<Response> {
    if (!(await this.#place(signal))) throw new DoorError(E.EAGAIN, 'door_call', { cause: signal?.reason })
    // Others wait for it too, of whom each is told.
    if (!this.#open) this.#places.give()
    const response = this.#open ? this.#call(request, signal) : undefined
    if (response === undefined) throw serverGone()
    return response
  }

  /** It keeps the process alive as a reply does: given up calls, which do not, may have all places. */
  async #place(signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#later++ === 0) binding.loopHold(this.#client, true)
    const taken = await this.#places.wait(signal)
    if (--this.#later === 0 && this.#open) binding.loopHold(this.#client, false)
    return taken
  }

  #call(request: Request, signal: AbortSignal | undefined): Promise<Response> | undefined {
    this.#sequence = (this.#sequence + 1) >>> 0
    const sequence = this.#sequence
    const sent = binding.loopCall(this.#client, sequence, request.data, numbersOf(request.fds))
    if (sent < 0) return this.#notSent(sent)
    this.#expected++
    if (sent === 0) closeReleased(request.fds)
    else if (request.fds.length > 0) this.#queued.set(sequence, request.fds)
    const answer = new Promise<Response>((resolve, reject) => {
      this.#waiting.set(sequence, { resolve, reject })
    })
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

  #giveUp(sequence: number, cause: unknown): void {
    this.#waiting.get(sequence)?.reject(new DoorError(E.EINTR, 'door_call', { cause }))
    if (!this.#waiting.delete(sequence)) return
    if (this.#area) this.close()
    else binding.loopCancel(this.#client, sequence)
  }

  /** Calls that run end with EINTR. */
  close(): void {
    this.#end(serverGone())
  }

  #notSent(errno: number): Promise<Response> | undefined {
    this.#places.give()
    // Replies that were there before the server went are not lost.
    if (errno === E.EPIPE) this.told(binding.loopTake(this.#client))
    if (errno === E.EPIPE || binding.loopOver(this.#client)) this.close()
    if (errno === E.EPIPE) return undefined
    const known: Record<number, number> = { [E.EPERM]: E.ENOTSUP, [E.EBADF]: E.EINVAL }
    return Promise.reject(new DoorError(known[errno] ?? errno, 'door_call'))
  }

  /** @internal The record has a reply (1), the session is over (a negative errno), or something has gone (0). */
  told(result: number): void {
    let told = result
    while (told > 0) {
      this.#settle()
      told = this.#expected > 0 ? binding.loopTake(this.#client) : 0
    }
    this.#release()
    // Descriptors of one reply were lost, and nobody knows of which: all that wait are told.
    if (told < 0) this.#end(told === E.EMFILE ? new DoorError(told, 'door_call') : serverGone())
  }

  #settle(): void {
    const sequence = (numbers[Reply.sequence] as number) >>> 0
    const waiting = this.#waiting.get(sequence)
    this.#waiting.delete(sequence)
    this.#expected--
    this.#places.give()
    const fds = descriptorsOf(numbers[Reply.descriptors] as number)
    if (waiting === undefined) {
      for (const fd of fds) fd.close()
      return
    }
    const status = numbers[Reply.status] as number
    if (status === 0) {
      waiting.resolve(new Response(dataOfReply(), fds))
      return
    }
    for (const fd of fds) fd.close()
    waiting.reject(callError(status, dataOfReply()))
  }

  /** What has gone meanwhile, also of calls that nobody waits for. */
  #release(): void {
    for (const [sequence, fds] of this.#queued) {
      if (binding.loopQueued(this.#client, sequence)) continue
      this.#queued.delete(sequence)
      closeReleased(fds)
    }
  }

  #end(error: DoorError): void {
    if (!this.#open) return
    this.#open = false
    this.#release()
    sessions.delete(this.#client)
    binding.loopClose(this.#client)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
    for (; this.#expected > 0; this.#expected--) this.#places.give()
  }
}

function dataOfReply(): Buffer {
  if (numbers[Reply.place] === Place.taken) return binding.takenData() ?? Buffer.alloc(0)
  return Buffer.from(scratch.subarray(0, lengthAt(Reply.lengthLow)))
}

const serverGone = (): DoorError => new DoorError(E.EINTR, 'door_call', { detail: 'the server has gone' })
