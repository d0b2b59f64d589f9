import { binding } from './binding.ts'
import { EBADF } from './errno.ts'
import { FdPassError } from './errors.ts'
import { beginTurn } from './turn.ts'

export const EPOLLIN = 0x1
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDHUP = 0x2000

/** Keys are never used twice in a row of two thousand million: an event of a watch that has ended finds none. */
const watches = new Map<number, Watch>()
const events = new Int32Array(128)
let started = false
let lastKey = 0
let waits = 0

const deliver = (count: number): void => {
  beginTurn()
  // A copy, because what a watch does may end in a call that waits for events itself.
  const batch = events.slice(0, 2 * count)
  for (let i = 0; i < count; i++) watches.get(batch[2 * i] as number)?.ready(batch[2 * i + 1] as number)
}

/** A descriptor that the event loop watches for edges: each call of `ready` tells of something new. */
export class Watch {
  readonly ready: (events: number) => void
  readonly #descriptor: number
  readonly #key: number = (lastKey = (lastKey + 1) & 0x7fffffff)
  #events = 0

  constructor(descriptor: number, ready: (events: number) => void) {
    this.#descriptor = descriptor
    this.ready = ready
  }

  get events(): number {
    return this.#events
  }

  /** What to watch for; what is there already is told of once more. */
  set(wanted: number): void {
    if (wanted === this.#events) return
    if (!started) {
      const error = binding.startPoller(deliver, events)
      if (error < 0) throw new FdPassError(error, 'epoll_create')
      started = true
      // Who waits for the next turn does so without it.
      if (waits > 0) binding.refPoller(true)
    }
    const error = binding.watch(this.#descriptor, wanted, this.#key)
    // Closed behind our back, it has left the kernel's list by itself.
    if (error < 0 && !(wanted === 0 && error === EBADF)) throw new FdPassError(error, 'epoll_ctl')
    this.#events = wanted
    if (wanted === 0) watches.delete(this.#key)
    else watches.set(this.#key, this)
  }
}

/** Whether the process stays alive for the waits of one socket. */
export class KeepAlive {
  #waits = false
  #referenced = true
  #counted = false

  /** Whether there are waits. */
  set waits(are: boolean) {
    this.#waits = are
    this.#count()
  }

  /** Whether they count. */
  set referenced(is: boolean) {
    this.#referenced = is
    this.#count()
  }

  #count(): void {
    const counts = this.#waits && this.#referenced
    if (counts === this.#counted) return
    this.#counted = counts
    waits += counts ? 1 : -1
    if (waits === (counts ? 1 : 0)) binding.refPoller(counts)
  }
}
