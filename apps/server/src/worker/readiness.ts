import { EVFILT_READ, EVFILT_WRITE, EV_ADD, EV_ONESHOT, KEventList, KQueue, NOTE_NODATA } from '@x/kevent'
import type { Consumption } from '@x/kevent'

interface Waiter {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

/**
 * Readiness of the connections that this thread's handlers have in hand: for a request body that is still
 * arriving, for a response that the socket does not take yet. A queue of the thread's own, because nobody else
 * may get these events; in the shared queue the connection's knote stays disabled meanwhile.
 */
export class Readiness {
  readonly #queue = new KQueue()
  // Begun with the first wait: the first queue that a thread consumes waits in its event loop's place, which
  // makes it cheaper by a quarter, and that is to be the shared one.
  #consumption: Consumption | undefined
  readonly #waiters = new Map<string, Waiter>()

  readable(descriptor: number): Promise<void> {
    return this.#wait(descriptor, EVFILT_READ)
  }

  writable(descriptor: number): Promise<void> {
    return this.#wait(descriptor, EVFILT_WRITE)
  }

  /** Before a descriptor is closed: nobody waits for it any more. */
  forget(descriptor: number): void {
    if (this.#waiters.size === 0) return
    this.#queue.detach(descriptor)
    this.#waiters.delete(key(descriptor, EVFILT_READ))
    this.#waiters.delete(key(descriptor, EVFILT_WRITE))
  }

  close(): void {
    this.#consumption?.stop()
    this.#queue.close()
  }

  #wait(descriptor: number, filter: number): Promise<void> {
    const name = key(descriptor, filter)
    const known = this.#waiters.get(name)
    if (known !== undefined) return known.promise
    this.#consumption ??= this.#consume()
    this.#queue.kevent([{ ident: descriptor, filter, flags: EV_ADD | EV_ONESHOT, fflags: NOTE_NODATA }])
    let resolve!: () => void
    const promise = new Promise<void>((done) => {
      resolve = done
    })
    this.#waiters.set(name, { promise, resolve })
    return promise
  }

  #consume(): Consumption {
    const events = new KEventList(64)
    return this.#queue.consume({ changes: new KEventList(1), events }, (count) => {
      for (let index = 0; index < count; index++) this.#fire(events.ident(index), events.filter(index))
      return 0
    })
  }

  #fire(descriptor: number, filter: number): void {
    const name = key(descriptor, filter)
    const waiter = this.#waiters.get(name)
    this.#waiters.delete(name)
    waiter?.resolve()
  }
}

const key = (descriptor: number, filter: number): string => `${descriptor}:${filter}`
