import {
  EVFILT_READ,
  EV_FORCEONESHOT,
  EV_KEEPUDATA,
  EV_RECEIPT,
  KEventError,
  KEventList,
  NOTE_NODATA,
} from '@x/kevent'
import type { KQueue } from '@x/kevent'
import { expired, monotonicNow } from '@x/http1'

/** Milliseconds between two looks: how late a deadline may be noticed. */
const INTERVAL = 250
/** Connections that are forced in one look. */
const MOST = 16_384
const FORCE = EV_FORCEONESHOT | EV_KEEPUDATA

/**
 * Ends connections that are idle or slow for too long, from a thread that serves none of them, as the 2006 mail
 * describes: the read knote is forced. If no handler has it, the next free worker gets the event at once; if one
 * has, it gets it when it enables the knote. Either way one thread alone tears the connection down.
 */
export class DeadlineTimer implements Disposable {
  readonly #queue: KQueue
  readonly #late = new Int32Array(MOST)
  readonly #changes = new KEventList(MOST)
  readonly #timer: NodeJS.Timeout

  constructor(queue: KQueue) {
    this.#queue = queue
    this.#timer = setInterval(() => {
      this.force(monotonicNow())
    }, INTERVAL).unref()
  }

  /** Forces every connection whose deadline is not after `now`, in ms of the monotonic clock. */
  force(now: number): void {
    const count = expired(now, this.#late)
    const changes = this.#changes
    for (let index = 0; index < count; index++) {
      changes.set(index, this.#late[index] as number, EVFILT_READ, FORCE | EV_RECEIPT, NOTE_NODATA)
    }
    // As receipts: of one that went away between the look and the call, which was the aim, nobody need be told.
    if (count > 0) this.#queue.keventList(changes, count, changes, count, 0)
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

/** Has some worker get the descriptor's event as a forced one. False: it is not in the queue any more. */
export function force(queue: KQueue, descriptor: number): boolean {
  try {
    queue.kevent([{ ident: descriptor, filter: EVFILT_READ, flags: FORCE, fflags: NOTE_NODATA }])
    return true
  } catch (error) {
    // It went away between the look and the call: that was the aim.
    if (error instanceof KEventError && (error.code === 'ENOENT' || error.code === 'EBADF')) return false
    throw error
  }
}
