import {
  EV_ERROR,
  EVFILT_READ,
  EVFILT_WRITE,
  KEventError,
  KEventList,
  NOTE_DRAINED,
  NOTE_NODATA,
  type Consumption,
  type KQueue,
} from '@x/kevent'
import { answerOf } from './answer.ts'
import { binding, Fate, Taken } from './binding.ts'
import { E } from './errors.ts'
import type { Reply, ServedDoor } from './procedure.ts'
import { closeReleased, numbersOf } from './release.ts'
import { RunningCall } from './running-call.ts'
import { ENABLE, endSession, flushLater } from './session.ts'
import { TakenCall } from './taken-call.ts'
import { threadKey } from './thread-key.ts'

/** What a thread that serves is told, and asks. */
export interface Surroundings {
  /** The door of a call; a promise while its module is being loaded, undefined when it has gone. */
  served(door: number): ServedDoor | Promise<ServedDoor> | undefined
  /** The last call of a door has ended, and its owner wants to know. */
  rest(): void
  /** A caller has gone or does not wait: of one call, or of all of the session's. It may run in another thread. */
  cancelElsewhere(session: number, sequence: number | undefined): void
  /** The thread runs procedures, or waits for calls. */
  busy(isBusy: boolean): void
  /** Whether another thread waits for calls. */
  othersWait(): boolean
}

export interface ServiceOptions {
  /** Events that are taken at once: others' wait for the procedures of those before them. */
  readonly batch: number
  /** Other threads serve the same queue. */
  readonly shared: boolean
  /** Whether it may wait for the next call of one session, in place of its event loop. */
  readonly lingers: boolean
}

/** What is taken from one session in a row, calls or not: then others have their turn. */
const MOST_IN_A_ROW = 32
/**
 * Calls in a row, and microseconds that a thread waits for the next, while another one waits for everybody else. The wait is
 * longer than a tick of the kernel's clock, which makes its timer cheap.
 */
const BESIDE_OTHERS = { calls: 1024, patience: 10_000 } as const
/** The wait of the last thread that is left: all others wait as long. */
const PATIENCE_ALONE = 200

/**
 * Serves sessions in this thread: takes calls as the queue tells of them, runs their procedures, answers.
 *
 * A session is a knote with EV_DOD, so one thread has it at a time. It is given back when nothing is left to take; before
 * a procedure runs already, if its caller may send more meanwhile and other threads could take that.
 */
export class Service {
  readonly #kq: KQueue
  readonly #surroundings: Surroundings
  readonly #options: ServiceOptions
  readonly #changes: KEventList
  readonly #events: KEventList
  readonly #one = new KEventList(1)
  readonly #ended: () => void
  /** None while it takes nothing. */
  #consumption: Consumption | undefined
  #stopped = false
  /** Of what procedures are run in: the events of a turn, a module that is being imported. */
  #depth = 0
  /** Calls whose procedures have not settled, by session. */
  readonly #running = new Map<number, Map<number, RunningCall>>()
  #changeCount = 0
  #unsettled = 0
  #whenSettled: (() => void) | undefined

  /** `ended` is called when the queue was closed. */
  constructor(kq: KQueue, surroundings: Surroundings, options: ServiceOptions, ended: () => void) {
    this.#kq = kq
    this.#surroundings = surroundings
    this.#options = options
    this.#changes = new KEventList(options.batch)
    this.#events = new KEventList(options.batch)
    this.#ended = ended
    this.#consume()
  }

  /** It keeps the thread alive no more. */
  unref(): void {
    this.#consumption?.unref()
  }

  /** Takes no call any more. Those that run are answered. */
  stop(): void {
    this.#stopped = true
    this.#consumption?.stop()
  }

  /** Resolves when no procedure runs. */
  async settled(): Promise<void> {
    while (this.#unsettled > 0) await new Promise<void>((resolve) => (this.#whenSettled = resolve))
  }

  /** Tells procedures of this thread that a caller has gone. */
  cancel(session: number, sequence: number | undefined): void {
    const calls = this.#running.get(session)
    if (sequence !== undefined) calls?.get(sequence)?.cancel()
    else for (const call of calls?.values() ?? []) call.cancel()
  }

  /** Tells procedures of this thread whose callers have gone, whoever has read that they did. */
  cancelAborted(): void {
    for (const calls of this.#running.values()) {
      for (const call of calls.values()) if (call.aborted) call.cancel()
    }
  }

  #serve(count: number): number {
    this.#changeCount = 0
    this.#enter()
    for (let index = 0; index < count; index++) {
      // A session that has ended before its knote could be enabled.
      if ((this.#events.flags(index) & EV_ERROR) !== 0) continue
      const session = this.#events.udata(index)
      if (this.#events.filter(index) === EVFILT_WRITE) this.#settle(session, binding.sessionFlush(session))
      else this.#takeFrom(session, this.#events.ident(index))
    }
    this.#leave()
    return this.#changeCount
  }

  #enter(): void {
    this.#depth++
    this.#surroundings.busy(true)
  }

  #leave(): void {
    this.#depth--
    if (this.#depth > 0) return
    this.#surroundings.busy(false)
    if (this.#consumption === undefined && !this.#stopped) this.#resume()
  }

  /** The queue may have been closed meanwhile, and nobody was there to be told. */
  #resume(): void {
    try {
      this.#consume()
    } catch (error) {
      if (!(error instanceof KEventError)) throw error
      this.#ended()
    }
  }

  #consume(): void {
    const lists = { changes: this.#changes, events: this.#events }
    this.#consumption = this.#kq.consume(lists, (count) => {
      if (count >= 0) return this.#serve(count)
      this.#ended()
      return 0
    })
  }

  #takeFrom(session: number, descriptor: number): void {
    let linger = 0
    for (let taken = 1; linger > 0 || taken <= MOST_IN_A_ROW; taken++) {
      switch (binding.sessionTake(session, threadKey, linger)) {
        case Taken.nothing:
          this.#enableLater(session, descriptor, NOTE_NODATA | NOTE_DRAINED)
          return
        case Taken.call: {
          const call = new TakenCall(session)
          if (this.#options.shared && !call.sequential) {
            this.#enableNow(session, descriptor)
            this.#run(call, false)
            return
          }
          linger = call.sequential ? this.#patienceAfter(taken) : 0
          if (!this.#run(call, linger > 0)) linger = 0
          break
        }
        case Taken.cancel:
          this.#cancelled(session, (binding.numbers[0] as number) >>> 0)
          break
        case Taken.again:
          this.#settle(session, binding.numbers[0] as number)
          break
        default:
          this.#end(session)
          return
      }
    }
    this.#enableLater(session, descriptor, NOTE_NODATA)
  }

  /**
   * How long this thread waits for the next call of a session of which it has taken so many: it often comes at once. 0 for
   * one that has other things to do: while it waits, its event loop does not turn.
   */
  #patienceAfter(taken: number): number {
    if (!this.#options.lingers || this.#unsettled > 0) return 0
    const beside = this.#surroundings.othersWait()
    if (taken >= (beside ? BESIDE_OTHERS.calls : MOST_IN_A_ROW)) return 0
    return beside ? BESIDE_OTHERS.patience : PATIENCE_ALONE
  }

  #enableLater(session: number, descriptor: number, notes: number): void {
    this.#changes.set(this.#changeCount++, descriptor, EVFILT_READ, ENABLE, notes, 0, session)
  }

  #enableNow(session: number, descriptor: number): void {
    this.#one.set(0, descriptor, EVFILT_READ, ENABLE, NOTE_NODATA, 0, session)
    try {
      this.#kq.keventList(this.#one, 1, null, 0, 0)
    } catch (error) {
      // It has ended meanwhile, and nobody waits for it.
      if (!(error instanceof KEventError)) throw error
    }
  }

  /** Returns whether it was answered at once with `lingers`, which says that this thread waits for the session's next call. */
  #run(call: TakenCall, lingers: boolean): boolean {
    const served = this.#surroundings.served(call.door)
    if (served === undefined) this.#finish(call, reply(call, E.EBADF, null, null, lingers))
    else if (served instanceof Promise) this.#runLater(call, served)
    else return this.#runNow(call, served, lingers)
    return lingers && served === undefined
  }

  /** This thread has to import the door's module first. Until then it takes no other call, which another thread may run. */
  #runLater(call: TakenCall, served: Promise<ServedDoor>): void {
    const data = call.data(false)
    this.#enter()
    this.#consumption?.stop()
    this.#consumption = undefined
    this.#wait(
      call,
      served.then(
        (door) => {
          const running = new RunningCall(call, door)
          this.#remember(running)
          try {
            // Whoever has gone meanwhile was told of when there was no procedure yet to be told.
            return binding.sessionAborted(call.session, call.sequence)
              ? undefined
              : door.procedure(data, running)
          } finally {
            this.#leave()
          }
        },
        (error: unknown) => {
          this.#leave()
          throw error
        },
      ),
    )
  }

  #runNow(call: TakenCall, served: ServedDoor, lingers: boolean): boolean {
    const running = new RunningCall(call, served)
    let result: Reply | Promise<Reply>
    let waits: boolean
    try {
      result = served.procedure(call.data(served.lendsBuffer), running)
      waits = isPromise(result)
    } catch (error) {
      this.#fail(call, error, lingers)
      return lingers
    }
    if (waits) {
      this.#remember(running)
      // Whatever `then` it has: one that throws fails the call.
      this.#wait(call, Promise.resolve(result))
      return false
    }
    this.#answer(call, result as Reply, lingers)
    return lingers
  }

  #remember(running: RunningCall): void {
    const { session, sequence } = running.call
    const calls = this.#running.get(session)
    if (calls === undefined) this.#running.set(session, new Map([[sequence, running]]))
    else calls.set(sequence, running)
  }

  #wait(call: TakenCall, result: Promise<Reply>): void {
    this.#unsettled++
    result.then(
      (value) => {
        this.#answer(call, value, false)
        this.#forget(call)
      },
      (error: unknown) => {
        this.#fail(call, error, false)
        this.#forget(call)
      },
    )
  }

  #forget({ session, sequence }: TakenCall): void {
    const calls = this.#running.get(session)
    calls?.delete(sequence)
    if (calls?.size === 0) this.#running.delete(session)
    this.#unsettled--
    if (this.#unsettled === 0) this.#whenSettled?.()
  }

  #answer(call: TakenCall, result: Reply, lingers: boolean): void {
    if (result instanceof Uint8Array) {
      this.#finish(call, reply(call, 0, result, null, lingers))
      return
    }
    let answer
    let numbers
    try {
      answer = answerOf(result)
      numbers = numbersOf(answer.fds)
    } catch (error) {
      this.#fail(call, error, lingers)
      return
    }
    let ended = reply(call, 0, answer.data, numbers, lingers)
    // A descriptor that is closed, or too many of them: the caller waits for an answer all the same.
    if (ended < 0) ended = reply(call, ended === E.E2BIG ? ended : E.EINVAL, null, null, lingers)
    closeReleased(answer.fds)
    this.#finish(call, ended)
  }

  #fail(call: TakenCall, error: unknown, lingers: boolean): void {
    this.#finish(call, reply(call, E.EREMOTEIO, Buffer.from(textOf(error)), null, lingers))
  }

  #finish(call: TakenCall, ended: number): void {
    call.answered = true
    for (const fd of call.fds) fd.close()
    this.#settle(call.session, ended)
  }

  /** What is left to do after something was sent. */
  #settle(session: number, fate: number): void {
    if ((fate & Fate.queued) !== 0) flushLater(this.#kq, session)
    if ((fate & Fate.rest) !== 0) this.#surroundings.rest()
  }

  #cancelled(session: number, sequence: number): void {
    if (this.#running.get(session)?.has(sequence) === true) this.cancel(session, sequence)
    else this.#surroundings.cancelElsewhere(session, sequence)
  }

  /** Its client has gone, or has sent what is no call. */
  #end(session: number): void {
    this.cancel(session, undefined)
    this.#surroundings.cancelElsewhere(session, undefined)
    if ((endSession(this.#kq, session) & Fate.rest) !== 0) this.#surroundings.rest()
  }
}

const reply = (
  { session, sequence }: TakenCall,
  status: number,
  data: Uint8Array | null,
  fds: Int32Array | null,
  lingers: boolean,
): number => binding.sessionReply(session, sequence, status, data, fds, lingers)

/** Procedures throw what they like, also what is no text. */
const textOf = (error: unknown): string => {
  try {
    return error instanceof Error ? error.message : String(error)
  } catch {
    return 'what the procedure threw cannot be told'
  }
}

const isPromise = (reply: Reply | Promise<Reply>): boolean =>
  typeof (reply as { then?: unknown } | undefined)?.then === 'function'
