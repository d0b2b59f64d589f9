import type { FdSocket } from '@x/fdpass'
import { binding, Place, Reply } from './binding.ts'
import { callError } from './call-error.ts'
import { DoorError, E } from './errors.ts'
import { bufferOf, descriptorsOf, lengthAt } from './record.ts'
import { closeReleased, numbersOf } from './release.ts'
import type { Request } from './request.ts'
import { Response } from './response.ts'

const { numbers } = binding
const scratch = bufferOf(binding.replyBytes)

/** What a session says that can be used no more, and its call has not gone out: another session may try. */
export const NOT_SENT: unique symbol = Symbol('not sent')

/** Of errors after which the session goes on. */
const goesOn: ReadonlySet<number> = new Set([E.EBADF, E.EINVAL, E.E2BIG])
const asDoor: ReadonlyMap<number, number> = new Map([
  [E.ETIMEDOUT, E.EINTR],
  [E.ECANCELED, E.EINTR],
  [E.EPIPE, E.EINTR],
])

/** The client's side of a session for calls that block their thread, one after the other. */
export class BlockingSession {
  readonly #client: number
  #sequence = 0
  #open = true

  /** Takes the socket over. `area`: the server was asked for shared memory. Throws DoorError. */
  constructor(socket: FdSocket, area: boolean) {
    this.#client = binding.clientOpen(socket.take(), area)
    if (this.#client < 0) throw new DoorError(this.#client, 'door_call')
  }

  get open(): boolean {
    return this.#open
  }

  /** Throws as DoorClient.callSync. */
  call(request: Request, timeout: number): Response | typeof NOT_SENT {
    const failed = this.#exchange(request.data, numbersOf(request.fds), null, timeout)
    if (numbers[Reply.sent] === 1) closeReleased(request.fds)
    if (failed !== 0) return this.#failed(failed)
    const data = this.#data()
    const response = new Response(data, descriptorsOf(numbers[Reply.descriptors] as number))
    if (numbers[Reply.status] === 0) return response
    response.close()
    throw callError(numbers[Reply.status] as number, data)
  }

  /** The reply's bytes in `out`, or in memory of their own when they are more. */
  callInto(data: Uint8Array, out: Uint8Array, timeout: number): Uint8Array | typeof NOT_SENT {
    const failed = this.#exchange(data, null, out, timeout)
    if (failed !== 0) return this.#failed(failed)
    for (const fd of descriptorsOf(numbers[Reply.descriptors] as number)) fd.close()
    if (numbers[Reply.status] !== 0) throw callError(numbers[Reply.status] as number, this.#data())
    if (this.#place !== Place.out) return this.#data()
    return this.#length === out.length ? out : out.subarray(0, this.#length)
  }

  close(): void {
    if (!this.#open) return
    this.#open = false
    binding.clientClose(this.#client)
  }

  #exchange(data: Uint8Array, fds: Int32Array | null, out: Uint8Array | null, timeout: number): number {
    this.#sequence = (this.#sequence + 1) >>> 0
    return binding.clientCall(this.#client, this.#sequence, data, fds, out, timeout)
  }

  #failed(errno: number): typeof NOT_SENT {
    if (!goesOn.has(errno)) {
      this.close()
      if (numbers[Reply.sent] === 0 && errno === E.EPIPE) return NOT_SENT
    }
    throw new DoorError(errno === E.EBADF ? E.EINVAL : (asDoor.get(errno) ?? errno), 'door_call')
  }

  #data(): Buffer {
    if (this.#place !== Place.bytes) return binding.takenData() ?? Buffer.alloc(0)
    return Buffer.from(scratch.subarray(0, this.#length))
  }

  get #place(): number {
    return numbers[Reply.place] as number
  }

  get #length(): number {
    return lengthAt(Reply.lengthLow)
  }
}
