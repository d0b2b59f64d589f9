import { binding } from './binding.ts'
import { systemError } from './errors.ts'

/*
 * A connection goes to another process with its descriptor and a few bytes: those that were read and belong to no
 * request yet, and its counters. One thread of the process hands over; the threads that serve yield connections to it
 * (Engine.yield()), and, as long as setHandingOver(true) holds, by themselves when they have answered a request.
 */

/** While set, an engine begins no request that waits behind another: it yields the connection when it has answered. */
export function setHandingOver(on: boolean): void {
  binding.setHandingOver(on ? 1 : 0)
}

/** Writes the descriptors of yielded connections to `out`, and returns their number, at most `out.length`. */
export function yielded(out: Int32Array): number {
  return binding.yielded(out)
}

/** What goes along with the descriptor of a yielded connection. Undefined when it is none. */
export function connectionState(descriptor: number): Buffer | undefined {
  return binding.exportState(descriptor)
}

/** Of the state's head: the letters "x1h", and its version. */
const MAGIC = 0x01683178
const HEAD = 48

/** The state of a connection that has not sent anything yet, and has so many milliseconds to do so. */
export function newConnectionState(milliseconds: number): Buffer {
  const state = Buffer.alloc(HEAD)
  state.writeUInt32LE(MAGIC, 0)
  state.writeBigInt64LE(BigInt(milliseconds), 8)
  return state
}

/**
 * Makes a descriptor that was received a connection of this process, yielded until {@link reinstate}. It is owned from now
 * on. Throws EINVAL for a state that cannot be, EEXIST, EMFILE, ENOMEM; the descriptor is then still the caller's.
 */
export function adoptConnection(descriptor: number, state: Uint8Array): void {
  const result = binding.adopt(descriptor, state)
  if (result === -22) throw systemError('adopt', result, '. The state is of another version, or damaged.')
  if (result < 0) throw systemError('adopt', result)
}

/**
 * Puts a yielded connection back into service; it is to be put into the queue then. True: what was read of it may be a
 * whole request, and an event of it has to be made (see Engine.unparsed()). Throws EBADF when it is none.
 */
export function reinstate(descriptor: number): boolean {
  const result = binding.reinstate(descriptor)
  if (result < 0) throw systemError('reinstate', result)
  return result === 1
}

/** Forgets and closes a yielded connection, which goes on in another process. It must be in no queue. */
export function releaseConnection(descriptor: number): boolean {
  return binding.release(descriptor)
}
