import { Fd, type FdSocket } from '@x/fdpass'
import { binding, Place, RECORD, Reply } from './binding.ts'
import type { Request } from './client-session.ts'
import { DoorError, E } from './errors.ts'
import { closeReleased, numbersOf } from './release.ts'
import { Response } from './response.ts'

const { numbers } = binding
const scratch = Buffer.from(
  binding.replyBytes.buffer,
  binding.replyBytes.byteOffset,
  binding.replyBytes.byteLength,
)

const HIGH = 2 ** 32

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
    const response = new Response(data, takeDescriptors())
    if (numbers[Reply.status] === 0) return response
    response.close()
    throw errorOf(numbers[Reply.status] as number, data)
  }

  /** The reply's bytes in `out`, or in memory of their own when they are more. */
  callInto(data: Uint8Array, out: Uint8Array, timeout: number): Uint8Array | typeof NOT_SENT {
    const failed = this.#exchange(data, null, out, timeout)
    if (failed !== 0) return this.#failed(failed)
    if (numbers[Reply.descriptors] !== 0) for (const fd of takeDescriptors()) fd.close()
    if (numbers[Reply.status] !== 0) throw errorOf(numbers[Reply.status] as number, this.#data())
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
    return this.#place === Place.bytes ? Buffer.from(this.#view()) : (binding.takenData() ?? Buffer.alloc(0))
  }

  get #place(): number {
    return numbers[Reply.place] as number
  }

  get #length(): number {
    return (numbers[Reply.lengthHigh] as number) * HIGH + ((numbers[Reply.lengthLow] as number) >>> 0)
  }

  #view(): Buffer {
    return scratch.subarray(0, this.#length)
  }
}

const takeDescriptors = (): Fd[] =>
  Array.from(numbers.subarray(RECORD, RECORD + (numbers[Reply.descriptors] as number)), (fd) => Fd.owned(fd))

function errorOf(status: number, data: Buffer): DoorError {
  const detail = status === E.EREMOTEIO ? `the procedure failed: ${data.toString()}` : undefined
  return new DoorError(status < 0 ? status : E.EPROTO, 'door_call', { detail })
}
