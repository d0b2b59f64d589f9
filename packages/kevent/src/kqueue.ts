import { AdoptedDescriptor } from './adopted-descriptor.ts'
import { binding } from './binding.ts'
import type { NativeHandle } from './binding.ts'
import { writeChanges } from './change.ts'
import { EV_DISPATCH } from './constants.ts'
import { startConsumption } from './consumption.ts'
import type { ConsumeLists, Consumption } from './consumption.ts'
import { KEventError } from './errors.ts'
import { publishEvent } from './events.ts'
import type { KQueueEvent } from './events.ts'
import { KEventList } from './kevent-list.ts'
import type { KEvent, KEventChange } from './kevent-list.ts'
import { LoopWaits } from './loop-waits.ts'
import type { WaitOptions } from './loop-waits.ts'

const EBADF = -9
const EINVAL = -22
const NANOSECONDS = 1e6
/** Fields of {@link KQueueCounters}, 8 bytes each. */
const COUNTERS = 8
const nothing = new Uint8Array(0)

/** Events of a call: 64 MiB of records. */
const MOST = 2 ** 21
/** Beyond this, in ms, a timeout is for ever, as in FreeBSD. */
const LONGEST = 2 ** 31 * 1000
const FOREVER = -1
/** The queue's answer is EINVAL, once it has applied the changes: FreeBSD's order. */
const INVALID = -2

const toNanoseconds = (timeout: number | null | undefined): number => {
  if (timeout === undefined || timeout === null || timeout > LONGEST) return FOREVER
  return timeout >= 0 ? Math.round(timeout * NANOSECONDS) : INVALID
}

const checkDescriptor = (descriptor: number, syscall: string): void => {
  if (!Number.isInteger(descriptor) || descriptor < 0 || descriptor > 0x7fffffff) {
    throw new KEventError(EBADF, syscall)
  }
}

/** What a worker needs to attach to a queue, for `workerData` or `postMessage`. JSON would lose its memory. */
export interface KQueueHandle {
  readonly kqueue: number
  readonly pid: number
  /** Where the queue counts: see {@link KQueue.counters}. */
  readonly counters: SharedArrayBuffer
}

/** A knote as it stands. */
export interface Knote extends KEvent {
  /** Not delivered until it is enabled. */
  disabled: boolean
  /** Due, and not yet taken by a thread. */
  queued: boolean
  /** The {@link KQueue.consumer} that a dispatched event was delivered to, else 0. */
  holder: number
}

/** Rows of numbers: an event, and what is said of it. */
const rowsOf = (numbers: Float64Array, length: number): [event: KEvent, ...more: number[]][] =>
  Array.from({ length: numbers.length / length }, (_, index) => {
    const [ident = 0, filter = 0, flags = 0, fflags = 0, data = 0, udata = 0, ...more] = numbers.subarray(
      index * length,
      (index + 1) * length,
    )
    return [{ ident, filter, flags, fflags, data, udata }, ...more]
  })

const isOurs = (handle: Partial<KQueueHandle> | undefined): handle is KQueueHandle =>
  Number.isInteger(handle?.kqueue) &&
  handle?.pid === process.pid &&
  handle.counters instanceof SharedArrayBuffer &&
  handle.counters.byteLength === COUNTERS * 8

/** An event that a thread took with it when it died. */
export interface Orphan extends KEvent {
  /** The {@link KQueue.consumer} that it was. */
  holder: number
}

/** What happened in a queue since it was made, over all threads. */
export interface KQueueCounters {
  /** Events delivered. */
  delivered: number
  /** Of these, forced by EV_FORCEONESHOT. */
  forced: number
  /** Taken from the ring of due knotes and found not ready any more. */
  stale: number
  /** Times that a thread went to sleep. */
  slept: number
  /** Wake-ups sent to sleepers by triggers, forced events and enabled knotes. */
  woken: number
  /** Waits ended from outside. */
  interrupted: number
  /** Edges that told nothing new: the knote had one already that was not delivered yet. */
  duplicates: number
  /** The most due knotes that a thread has found waiting. */
  ringHighWater: number
}

/**
 * An event queue that many threads share: kqueue(2) for Linux. Each thread has a KQueue of its own over the
 * same queue (`share` and `attach`). An event of a knote with EV_DISPATCH is in one thread at a time.
 */
export class KQueue {
  readonly #native: NativeHandle
  readonly #waits: LoopWaits
  readonly #memory: SharedArrayBuffer
  readonly #seen: Uint8Array
  #changes = new KEventList(16)
  #events = new KEventList(16)

  /**
   * Makes a queue. Throws KEventError EMFILE, ENFILE or ENOMEM. (`handle` is for {@link KQueue.attach}, which
   * says clearly what is wrong with it.)
   */
  constructor(handle?: KQueueHandle) {
    if (handle !== undefined && !isOurs(handle)) throw new KEventError(EBADF, 'kqueue')
    this.#memory = handle?.counters ?? new SharedArrayBuffer(COUNTERS * 8)
    const bytes = new Uint8Array(this.#memory)
    this.#native = handle === undefined ? new binding.Handle(bytes) : new binding.Handle(bytes, handle.kqueue)
    this.#seen = this.#native.seen
    if (this.#native.error !== 0) throw new KEventError(-this.#native.error, 'kqueue')
    this.#waits = new LoopWaits(this.#native)
    publishEvent(handle === undefined ? 'created' : 'attached', this.#name())
  }

  /**
   * A thread's own KQueue over the queue that another thread of this process shares. Throws KEventError EBADF
   * when that queue is closed or of another process: a kqueue is not inherited and cannot be sent.
   */
  static attach(handle: KQueueHandle): KQueue {
    // One that is missing altogether must not make a queue.
    if (!isOurs(handle)) throw new KEventError(EBADF, 'kqueue')
    return new KQueue(handle)
  }

  /** What {@link KQueue.attach} takes in another thread. */
  share(): KQueueHandle {
    return { kqueue: this.#native.id, pid: process.pid, counters: this.#memory }
  }

  /** This thread's number among the queue's consumers, as {@link Knote.holder} names it. */
  get consumer(): number {
    return this.#native.consumer
  }

  /**
   * The queue's descriptor, borrowed: readable when something may be due, for a foreign event loop, or for
   * READ in another queue. It is -1 after close.
   */
  get descriptor(): number {
    return this.#native.descriptor
  }

  /**
   * kevent(2): applies the changes in order, then returns up to `max` events. With `max` 0 it returns at
   * once; without a `timeout` (ms, fractions count), or with null, it waits for ever; 0 does not wait. A change that fails
   * is an event with EV_ERROR and the errno in `data`, as far as `max` has room; then no other event is
   * returned in that call. Blocks the thread while it waits; `Worker.terminate()` and `close` by another
   * thread end the wait. A signal does not, unlike in C: what handles it in JavaScript runs after the call.
   *
   * Throws KEventError: EBADF (queue closed; with no room, descriptor closed), EINVAL (flags, fflags, filter,
   * timeout), ENOENT (no such knote), ENXIO (a filter that Linux does not have), EPERM (WRITE of a regular file,
   * READ of a directory), ESRCH (PROC: no such process), EMFILE, ENOSPC, ENOMEM (no descriptor, watch or knote is
   * left). The manual page of each filter has the rest.
   */
  kevent(changes: readonly KEventChange[] | null, max = 0, timeout?: number | null): KEvent[] {
    const count = changes?.length ?? 0
    if (!Number.isInteger(max) || max > MOST) throw new KEventError(EINVAL, 'kevent')
    if (count > this.#changes.capacity) this.#changes = new KEventList(count * 2)
    if (max > this.#events.capacity) this.#events = new KEventList(max)
    if (changes !== null) writeChanges(this.#changes, changes)
    return this.#events.toArray(this.keventList(this.#changes, count, this.#events, max, timeout))
  }

  /**
   * The same without allocation: the first `changeCount` records of `changes` are applied, up to `max` events
   * are written to `events`. The two may be one list. Returns the number of events.
   */
  keventList(
    changes: KEventList | null,
    changeCount: number,
    events: KEventList | null,
    max: number,
    timeout?: number | null,
  ): number {
    if (!Number.isInteger(changeCount) || !Number.isInteger(max)) throw new KEventError(EINVAL, 'kevent')
    if (changeCount > (changes?.capacity ?? 0) || max > (events?.capacity ?? 0)) {
      throw new KEventError(EINVAL, 'kevent')
    }
    const count = this.#native.kevent(
      changes?.bytes ?? nothing,
      changeCount,
      events?.bytes ?? nothing,
      max,
      toNanoseconds(timeout),
    )
    this.#seen[0] = 1
    if (count < 0) throw new KEventError(count, 'kevent')
    return count
  }

  /**
   * Waits in the event loop: resolves with 1 to `max` events (1 unless told), or with none when `timeout` ms
   * have passed. Calls that wait at the same time are served in turn. Rejects with `signal.reason`, or as
   * `kevent` throws.
   */
  wait(options: WaitOptions = {}): Promise<KEvent[]> {
    return this.#waits.wait(options)
  }

  /** Events one at a time, claimed when asked for; ends when the queue is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<KEvent, void, void> {
    for (;;) {
      try {
        yield* await this.wait()
      } catch (error) {
        if (error instanceof KEventError && error.code === 'EBADF') return
        throw error
      }
    }
  }

  /**
   * Serves the queue from this thread's event loop. When events are due, `callback` is called with their
   * number after they were written to `lists.events`; it returns how many changes it left in `lists.changes`,
   * which the next call into the queue applies. While nothing is due, the loop waits in the queue's stead, and
   * all else that the loop does goes on. Throws KEventError EBUSY when this KQueue is consumed already, EINVAL when a
   * list is over memory that is not shared, which could be taken away.
   *
   * When the queue is closed the callback is called a last time, with -EBADF (-9).
   */
  consume(lists: ConsumeLists, callback: (count: number) => number): Consumption {
    if (typeof callback !== 'function') throw new KEventError(EINVAL, 'kqueue')
    return startConsumption(this.#native, lists, callback)
  }

  /**
   * Takes a descriptor over from the caller, who was its owner: the result closes it, and its knotes are removed before
   * that. It becomes close-on-exec, so that no child process keeps it alive in the kernel's list. A descriptor that was
   * taken from a handle of Node's has to be paused there: throws KEventError EBUSY when this thread's event loop watches
   * it; EBADF when it is not open, or this KQueue is closed. Nothing has changed then.
   */
  adopt(descriptor: number): AdoptedDescriptor {
    checkDescriptor(descriptor, 'adopt')
    const error = this.#native.adopt(descriptor)
    if (error < 0) throw new KEventError(error, 'adopt')
    return new AdoptedDescriptor(this.#native, descriptor)
  }

  /**
   * Removes the descriptor's knotes, then closes it. The way to close a descriptor that is, or was, in a
   * queue: closed elsewhere while a duplicate lives, it would stay in the kernel's list.
   */
  closeDescriptor(descriptor: number): void {
    checkDescriptor(descriptor, 'close')
    const error = this.#native.closeDescriptor(descriptor)
    if (error < 0) throw new KEventError(error, 'close')
  }

  /** Removes the descriptor's knotes and leaves it open, to hand it over. False: it had none. */
  detach(descriptor: number): boolean {
    checkDescriptor(descriptor, 'detach')
    return this.#native.detach(descriptor) === 0
  }

  /** All knotes, each as it stood at some moment during the call. */
  list(): Knote[] {
    return rowsOf(this.#native.list(), 8).map(([event, holder = 0, state = 0]) => ({
      ...event,
      holder,
      disabled: state % 2 === 1,
      queued: state >= 2,
    }))
  }

  /**
   * Knotes that were delivered with EV_DISPATCH and not re-enabled since, by all threads or by one: what a
   * thread that died has left. EV_ENABLE gives such an event to another thread, EV_FORCEONESHOT with
   * EV_ENABLE makes another thread tear it down.
   */
  held(consumer?: number): Knote[] {
    return this.list().filter(
      ({ flags, disabled, holder }) =>
        (flags & EV_DISPATCH) !== 0 &&
        disabled &&
        holder !== 0 &&
        (consumer === undefined || holder === consumer),
    )
  }

  /**
   * Events that threads took with them when they died: one-shots and forced ones, and those of EV_CLEAR without
   * EV_DISPATCH, that such a thread had been handed last. It may have handled them, or not, or begun to: nothing in
   * the queue tells. What it had not been handed yet is not here but due again, and what it held is in
   * {@link KQueue.held}. Each is told once, to one caller in all threads. A thread that ends by itself calls
   * `release` before, to say that it has handled everything.
   */
  orphans(): Orphan[] {
    return rowsOf(this.#native.orphans(), 7).map(([event, holder = 0]) => ({ ...event, holder }))
  }

  /**
   * See {@link KQueueCounters}. They are read from shared memory: no call into the queue, no lock, and they
   * stand when it is closed.
   */
  counters(): KQueueCounters {
    const [
      delivered = 0,
      forced = 0,
      stale = 0,
      slept = 0,
      woken = 0,
      interrupted = 0,
      duplicates = 0,
      ringHighWater = 0,
    ] = Array.from(new BigUint64Array(this.#memory), Number)
    return { delivered, forced, stale, slept, woken, interrupted, duplicates, ringHighWater }
  }

  /** Ends this thread's part. The queue lives on in the others; with the last one it is gone. */
  release(): void {
    const name = this.#name()
    this.#native.release()
    this.#waits.end()
    if (name.consumer !== 0) publishEvent('released', name)
  }

  /** Ends the queue for all threads: every wait ends with EBADF. No watched descriptor is closed. */
  close(): void {
    const name = this.#name()
    this.#native.close()
    this.#waits.end()
    if (name.consumer !== 0) publishEvent('closed', name)
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #name(): KQueueEvent {
    return { kqueue: this.#native.id, consumer: this.#native.consumer }
  }
}
