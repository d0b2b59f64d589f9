import {
  EVFILT_READ,
  EV_ADD,
  EV_DISABLE,
  EV_DISPATCH,
  EV_ENABLE,
  EV_ERROR,
  EV_FORCEONESHOT,
  EV_RECEIPT,
  KEventList,
  NOTE_DRAINED,
  NOTE_NODATA,
} from '@x/kevent'
import type { Consumption, KQueue } from '@x/kevent'
import type { Engine } from '@x/http1'
import type { Logger } from 'pino'
import type { Readiness } from './readiness.ts'
import type { RequestDispatch } from './request-dispatch.ts'
import type { ConnectionLimit } from './connection-limit.ts'
import type { ServerMemory } from './server-memory.ts'

/** Most connections accepted for one event of the listener. */
const ACCEPT = 64
/** Milliseconds to leave the listener alone when there are no descriptors left. */
const ACCEPT_PAUSE = 500

export interface ServeLoopParts {
  readonly queue: KQueue
  readonly engine: Engine
  readonly dispatch: RequestDispatch
  readonly readiness: Readiness
  readonly listener: number
  readonly batch: number
  readonly log: Logger
  readonly memory: ServerMemory
  readonly limit: ConnectionLimit
  /** The listener was forced out of the queue, and nobody waits in it any more. */
  listenerRetired(): void
  /** Connections were closed while the server is closing, or hands over. */
  closed(): void
  /** Connections are out of service, to go to another process. */
  yielded(): void
}

/**
 * One thread's loop: takes a batch of events from the shared queue, reads and parses in one call, runs the
 * handlers, writes in one call, and re-enables what it is done with in the call that takes the next batch.
 *
 * Listener and connections are EV_DISPATCH knotes, so that what an event names is this thread's alone until it
 * is enabled again.
 */
export class ServeLoop {
  readonly #parts: ServeLoopParts
  readonly #events: KEventList
  /** Changes of a turn: applied by the call that takes the next events, after the turn has returned. */
  readonly #changes: KEventList
  /** Changes made outside of a turn, when the turn's list may still wait to be applied. */
  readonly #late: KEventList
  #changeCount = 0
  #inTurn = false
  #consumption: Consumption | undefined
  #flushing = false
  #yields = 0
  /** While there are no descriptors left: has the listener enabled again. */
  #paused: NodeJS.Timeout | undefined
  #settleEmpty: (() => void) | undefined

  constructor(parts: ServeLoopParts) {
    this.#parts = parts
    this.#events = new KEventList(parts.batch)
    // Room for a turn: every event enabled again, and what one accept brings; more is applied as it comes.
    this.#changes = new KEventList(parts.batch + ACCEPT)
    this.#late = new KEventList(parts.batch + ACCEPT)
  }

  start(): void {
    const lists = { changes: this.#changes, events: this.#events }
    this.#consumption = this.#parts.queue.consume(lists, (count) => this.#turn(count))
  }

  /** Takes no more events; what is in hand goes on. */
  stop(): void {
    this.#consumption?.stop()
    // The listener is this thread's to enable, unless the server has taken it out of the queue.
    if (this.#parts.memory.closing) clearTimeout(this.#paused)
    else if (this.#paused !== undefined) this.#acceptAgain()
  }

  /** Resolves when no request is in hand any more. After stop(). */
  emptyHanded(): Promise<void> {
    return new Promise((resolve) => {
      this.#settleEmpty = resolve
      this.#noteEmpty()
    })
  }

  #noteEmpty(): void {
    if (this.#parts.engine.inHand === 0) this.#settleEmpty?.()
  }

  /** For work that was queued outside of a turn: a handler's promise, a body that went on. */
  scheduleFlush(): void {
    if (this.#flushing) return
    this.#flushing = true
    // A microtask joins all that settles in this turn of the event loop.
    queueMicrotask(() => {
      this.#flushing = false
      this.#serve(this.#parts.engine.flush())
      this.#apply()
      this.#tellYields()
      this.#noteEmpty()
    })
  }

  #tellYields(): void {
    const { yields } = this.#parts.engine
    if (yields === this.#yields) return
    this.#yields = yields
    this.#parts.yielded()
  }

  #turn(count: number): number {
    // The queue was closed: the process is ending.
    if (count < 0) return 0
    this.#inTurn = true
    this.#takeOwn(count)
    this.#serve(this.#parts.engine.read(this.#events.bytes, count))
    this.#inTurn = false
    this.#tellYields()
    const changes = this.#changeCount
    this.#changeCount = 0
    return changes
  }

  /** Handles the events that are not for reading, and hides them from the engine. */
  #takeOwn(count: number): void {
    const { listener, memory } = this.#parts
    const events = this.#events
    const { handingOver } = memory
    for (let index = 0; index < count; index++) {
      const descriptor = events.ident(index)
      const flags = events.flags(index)
      const isOwn = (flags & (EV_ERROR | EV_FORCEONESHOT)) !== 0 || descriptor === listener
      if (isOwn || (handingOver && this.#parts.engine.yield(descriptor)))
        this.#takeOne(index, descriptor, flags)
    }
    // Before any handler runs: what is in no queue would be lost with the thread, and the next connection would
    // wait for this thread's handlers.
    if (this.#changeCount > 0) this.#apply()
  }

  #takeOne(index: number, descriptor: number, flags: number): void {
    const { engine, listener, memory } = this.#parts
    const events = this.#events
    events.set(index, descriptor, 0, 0)
    if ((flags & EV_ERROR) !== 0) this.#refused(events, index)
    else if (descriptor === listener) this.#accept((flags & EV_FORCEONESHOT) !== 0)
    else if ((flags & EV_FORCEONESHOT) === 0) return
    else if ((memory.handingOver && engine.yield(descriptor)) || !this.#isAlive(descriptor)) return
    else if (engine.unparsed(descriptor)) {
      // There may be a whole request, and no event would tell of it. The engine gives the event back when it has looked.
      this.#change(descriptor, EV_ADD | EV_DISPATCH | EV_DISABLE, NOTE_NODATA)
      events.set(index, descriptor, EVFILT_READ, 0)
    } else this.#add(descriptor)
  }

  /** For a forced event. While the server closes, whoever waits for a request is out of time. */
  #isAlive(descriptor: number): boolean {
    const { engine, memory } = this.#parts
    const now = memory.closing ? Number.MAX_SAFE_INTEGER : undefined
    return engine.expire(descriptor, now) === 'alive'
  }

  #accept(retiring: boolean): void {
    const { engine, limit, listener } = this.#parts
    // Who waits is the successor's.
    if (retiring && this.#parts.memory.handingOver) {
      this.#parts.listenerRetired()
      return
    }
    // Whoever waits when the server stops is accepted all the same: the listener is closed next.
    const room = retiring ? ACCEPT : limit.room(ACCEPT)
    if (room === 0) return
    let accepted = engine.accept(listener, room)
    for (;;) {
      for (let index = 0; index < accepted; index++) this.#add(engine.accepted[index] as number)
      if (!retiring || engine.backlogEmpty || engine.acceptErrno !== 0) break
      accepted = engine.accept(listener, ACCEPT)
    }
    if (retiring) {
      this.#parts.listenerRetired()
      return
    }
    if (engine.acceptErrno !== 0) {
      limit.countNoDescriptors()
      this.#parts.log.warn({ errno: engine.acceptErrno }, 'no descriptors left: accepting is paused')
      this.#paused = setTimeout(() => {
        this.#acceptAgain()
      }, ACCEPT_PAUSE)
      return
    }
    this.#change(listener, EV_ENABLE, engine.backlogEmpty ? NOTE_NODATA | NOTE_DRAINED : NOTE_NODATA)
  }

  #acceptAgain(): void {
    clearTimeout(this.#paused)
    this.#paused = undefined
    this.#change(this.#parts.listener, EV_ENABLE, NOTE_NODATA)
    this.#apply()
  }

  /** Runs the handlers of `count` requests, writes, and goes on with those that were pipelined behind. */
  #serve(count: number): void {
    const { engine, dispatch } = this.#parts
    this.#collect()
    let ready = count
    while (ready > 0) {
      for (let index = 0; index < ready; index++) dispatch.dispatch(engine.request(index))
      ready = engine.flush()
      this.#collect()
    }
  }

  /** Gives back to the queue what the engine is done with. */
  #collect(): void {
    const { engine, memory, queue, readiness } = this.#parts
    for (let index = 0; index < engine.rearmCount; index++) {
      const drained = engine.rearmDrained[index] === 1
      this.#change(
        engine.rearm[index] as number,
        EV_ENABLE,
        drained ? NOTE_NODATA | NOTE_DRAINED : NOTE_NODATA,
      )
    }
    for (let index = 0; index < engine.closingCount; index++) {
      const descriptor = engine.closing[index] as number
      queue.detach(descriptor)
      readiness.forget(descriptor)
    }
    if (engine.closingCount === 0) return
    engine.closeListed()
    if (memory.resumeAccepting()) this.#change(this.#parts.listener, EV_ENABLE, NOTE_NODATA)
    if (memory.closing || memory.handingOver) this.#parts.closed()
  }

  #add(descriptor: number): void {
    this.#change(descriptor, EV_ADD | EV_DISPATCH, NOTE_NODATA)
  }

  #change(descriptor: number, flags: number, fflags: number): void {
    const list = this.#inTurn ? this.#changes : this.#late
    if (this.#changeCount === list.capacity) this.#apply()
    list.set(this.#changeCount++, descriptor, EVFILT_READ, flags, fflags)
  }

  /**
   * Applies the changes now. As receipts: each is applied whatever becomes of the others, and no event is
   * claimed in the same call.
   */
  #apply(): void {
    const list = this.#inTurn ? this.#changes : this.#late
    const count = this.#changeCount
    this.#changeCount = 0
    for (let index = 0; index < count; index++) {
      list.set(index, list.ident(index), EVFILT_READ, list.flags(index) | EV_RECEIPT, list.fflags(index))
    }
    if (count > 0) this.#parts.queue.keventList(list, count, list, count, 0)
    for (let index = 0; index < count; index++) {
      if (list.data(index) !== 0) this.#refused(list, index)
    }
  }

  #refused(list: KEventList, index: number): void {
    this.#parts.log.error({ descriptor: list.ident(index), errno: list.data(index) }, 'a change was refused')
  }
}
