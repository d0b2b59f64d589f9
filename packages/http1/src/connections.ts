import { binding, type ConnectionCounts } from './binding.ts'

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
 * Ends a connection whose thread has died: 500 when nothing was answered yet, then closed; in the middle of a
 * response with a reset. False when the descriptor is no connection. Any thread may call it, after the thread has
 * ended and the queue has let go.
 */
export function abandon(descriptor: number): boolean {
  return binding.abandon(descriptor)
}

/** CLOCK_MONOTONIC in milliseconds, at the kernel's tick resolution: what deadlines are counted in. */
export function monotonicNow(): number {
  return binding.now()
}
