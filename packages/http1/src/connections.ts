import { binding, type ConnectionCounts } from './binding.ts'
import { optionError } from './errors.ts'

/** How many connections this process has, over all its threads. */
export function connections(): ConnectionCounts {
  return binding.connections()
}

/**
 * Writes to `out` the descriptors of connections whose deadline is not after `nowMs` (see monotonicNow()) and
 * returns their number, at most `out.length`. Only those whose read event is armed are listed; the thread that
 * gets their forced event calls Engine.expire(). Any thread may call it.
 */
export function expired(nowMs: number, out: Int32Array): number {
  return binding.expired(nowMs, out)
}

/**
 * Whether a request of the connection is being handled, or its response written. If not, and the thread that had
 * its event has died, any other thread can take it over: enable its event again. Otherwise see abandon().
 */
export function inHand(descriptor: number): boolean {
  return binding.inHand(descriptor)
}

/**
 * Writes to `out` the connections that the engine with this {@link Engine.id} has in hand, and returns their number, at
 * most `out.length`: its thread has ended. Of one that is not inHand() bytes were read that are to be parsed, though no event
 * tells of them.
 */
export function heldBy(engine: number, out: Int32Array): number {
  return binding.heldBy(engine, out)
}

/**
 * Ends a connection whose thread has died: 500 when nothing was answered yet, then closed; in the middle of a
 * response with a reset. False when the descriptor is no connection. Any thread may call it, after the thread has
 * ended and the queue has let go.
 */
export function abandon(descriptor: number): boolean {
  return binding.abandon(descriptor)
}

/** Most connections that limitConnectionsPerAddress() takes as a bound. */
const MOST = 1_000_000

/**
 * Bounds the connections that each client address may have at once, over all threads of this process; an IPv6 client
 * is its /64. Call it before the first accept(), for what is open already is not counted. One that is too many is
 * answered 503 and closed without being read; while as many as the bound are being told so, a further one is closed at
 * once. Adopted connections count, whatever the bound is. Undefined takes the bound away.
 */
export function limitConnectionsPerAddress(most: number | undefined): void {
  if (most !== undefined && (!Number.isInteger(most) || most < 1 || most > MOST)) {
    throw optionError(`The bound is a whole number from 1 to ${MOST}, not ${most}.`)
  }
  binding.limitConnectionsPerAddress(most ?? 0)
}

/** CLOCK_MONOTONIC in milliseconds, at the kernel's tick resolution: what deadlines are counted in. */
export function monotonicNow(): number {
  return binding.now()
}
