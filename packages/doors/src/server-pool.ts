import { randomUUID } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { binding, Fate } from './binding.ts'
import { DoorError, E, invalid } from './errors.ts'
import { publishServerThreadFailed } from './events.ts'
import { PoolChannel, type PoolMessage } from './pool-channel.ts'
import { consumerAt, SlotState, stateAt, Word, wordsOf, type PoolHandle } from './pool-handle.ts'
import { serverCreation, type ServerCreation } from './server-creation.ts'
import { endSession, flushLater, giveBack, newQueue, refuseWaiting, watchSession } from './session.ts'
import type { Owner, Servers } from './servers.ts'

export interface PoolLimits {
  /** Threads that there are from the beginning, and again when one has died. */
  readonly min: number
  /** The most that there may be; callers wait when all run procedures. */
  readonly max: number
  /** Whether a thread is made when no other waits for calls, up to `max`. */
  readonly grows: boolean
  readonly create: ServerCreation | undefined
}

interface Member {
  readonly worker: Worker
  readonly thread: number
  bound: boolean
  readonly settle: { resolve: () => void; reject: (error: unknown) => void }
}

/** Milliseconds before another thread is made for one that has died before it served; doubled each time. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 5000

/** The owner's side of threads that serve one queue: it makes them, adds to them, and repairs what dead ones had. */
export class ServerPool implements Servers {
  readonly #kq = newQueue('door_create')
  readonly #name = `@x/doors ${process.pid} ${randomUUID()}`
  readonly #limits: PoolLimits
  readonly #words: Int32Array
  readonly #members = new Map<number, Member>()
  readonly #doors = new Map<number, Owner>()
  readonly #channel: PoolChannel
  readonly #ended: () => void
  #private = 0
  #least: number
  #pause = FIRST_PAUSE
  #retry: NodeJS.Timeout | undefined
  #over = false

  /** `ended` is called with its last door. */
  constructor(limits: PoolLimits, ended: () => void) {
    this.#limits = limits
    this.#least = limits.min
    this.#ended = ended
    this.#words = new Int32Array(new SharedArrayBuffer(4 * wordsOf(limits.max)))
    // Who does not grow is never asked.
    this.#words[Word.asked] = limits.grows ? 0 : 1
    this.#channel = new PoolChannel(this.#name, (message) => {
      this.#receive(message)
    })
  }

  /** A door that was to be served could not be made: without others, there is nothing to serve. */
  abandon(): void {
    if (this.#doors.size === 0) this.leave(0)
  }

  /** A door of its own: `currentDoor` of its threads. */
  makePrivate(door: number): void {
    this.#private = door
  }

  join(door: number, owner: Owner): void {
    this.#doors.set(door, owner)
  }

  leave(door: number): void {
    this.#doors.delete(door)
    if (this.#doors.size > 0) return
    this.#over = true
    clearTimeout(this.#retry)
    this.#ended()
    // Threads that wait in it are told, and unbind themselves.
    this.#kq.close()
    this.#channel.close()
    for (const member of this.#members.values())
      member.settle.reject(new DoorError(E.EBADF, 'door_bind', { detail: 'the pool has ended' }))
  }

  watch(session: number): void {
    watchSession(this.#kq, session)
  }

  refuse(session: number): void {
    this.#refuse(session, E.EBADF)
  }

  end(session: number): void {
    this.#channel.post({ type: 'cancel', session, sequence: undefined })
    endSession(this.#kq, session)
  }

  /** From now on a thread that ends is replaced as long as there are fewer than these. */
  keep(threads: number): void {
    this.#least = threads
    this.fill()
  }

  /** Makes the threads that there are to be, in so far as they are not declined. */
  fill(): void {
    this.#added(() => {
      const adding: Promise<void>[] = []
      while (this.#members.size < this.#least) {
        const thread = this.add(false)
        if (thread === undefined) break
        adding.push(thread)
      }
      return Promise.all(adding)
    })
  }

  /**
   * Makes one thread more. Resolves when it serves; undefined when the callback declines, or there may be no more. Rejects
   * with DoorError EBADF when the thread ends before it serves.
   */
  add(depletion: boolean): Promise<void> | undefined {
    const slot = this.#free()
    if (slot === undefined || this.#over) return undefined
    const create = this.#limits.create ?? serverCreation()
    Atomics.store(this.#words, stateAt(slot), SlotState.starting)
    let worker: Worker | null = null
    try {
      worker = made(create({ handle: this.#handle(slot), private: this.#private !== 0, depletion }))
    } finally {
      if (worker === null) Atomics.store(this.#words, stateAt(slot), SlotState.free)
    }
    return worker === null ? undefined : this.#adopt(slot, worker)
  }

  #adopt(slot: number, worker: Worker): Promise<void> {
    const serves = new Promise<void>((resolve, reject) => {
      const member = {
        worker,
        thread: worker.threadId + 1,
        bound: false,
        settle: { resolve, reject },
      }
      this.#members.set(slot, member)
      worker.once('exit', () => {
        this.#exited(slot, member)
      })
      worker.on('error', (error) => {
        publishServerThreadFailed({ error })
      })
    })
    // Whoever waits for it is told. Nobody may: an error of the next thread's callback ends the wait for all.
    serves.catch(() => undefined)
    return serves
  }

  #handle(slot: number): PoolHandle {
    const states = this.#words.buffer as SharedArrayBuffer
    return { pool: this.#name, slot, kqueue: this.#kq.share(), states, door: this.#private }
  }

  #free(): number | undefined {
    for (let slot = 0; slot < this.#limits.max; slot++) {
      if (!this.#members.has(slot)) return slot
    }
    return undefined
  }

  #receive(message: PoolMessage): void {
    switch (message.type) {
      case 'bound':
        this.#bound(message.slot, message.thread)
        break
      case 'unbound':
        if (this.#members.get(message.slot)?.thread === message.thread) this.#members.delete(message.slot)
        break
      case 'depleted':
        this.#deplete()
        break
      case 'rest':
        this.#rest()
        break
      case 'cancel':
      case 'ended':
    }
  }

  #bound(slot: number, thread: number): void {
    const member = this.#members.get(slot)
    if (member?.thread !== thread) return
    member.bound = true
    this.#pause = FIRST_PAUSE
    member.settle.resolve()
  }

  #deplete(): void {
    Atomics.store(this.#words, Word.asked, 0)
    this.#added(() => this.add(true))
  }

  /** A thread that nobody waits for: what goes wrong with it is told on the channel of events. */
  #added(add: () => Promise<unknown> | undefined): void {
    try {
      add()?.catch(() => undefined)
    } catch (error) {
      publishServerThreadFailed({ error })
    }
  }

  /** The thread has ended, of whatever cause: its calls fail, its sessions go to others, another takes its place. */
  #exited(slot: number, member: Member): void {
    let consumer = 0
    if (this.#members.get(slot) === member) {
      this.#members.delete(slot)
      Atomics.store(this.#words, stateAt(slot), SlotState.free)
      consumer = Atomics.exchange(this.#words, consumerAt(slot), 0)
    }
    const left = binding.threadGone(member.thread)
    if (this.#over) return
    // What waits for others stays theirs.
    for (const session of left) if (binding.sessionAwaited(session)) this.#refuse(session, E.EINTR)
    this.#flushAll()
    member.settle.reject(
      new DoorError(E.EBADF, 'door_bind', { detail: 'the server thread ended before it was bound' }),
    )
    if (consumer !== 0) giveBack(this.#kq, consumer)
    // What it was about to say.
    this.#channel.post({ type: 'ended' })
    if (this.#limits.grows) Atomics.store(this.#words, Word.asked, 0)
    this.#rest()
    if (member.bound) this.fill()
    else this.#replaceLater()
  }

  /** Also a request that only one thread could see, which has ended. */
  #refuse(session: number, errno: number): void {
    refuseWaiting(this.#kq, session, errno, (sequence) => {
      this.#channel.post({ type: 'cancel', session, sequence })
    })
  }

  /** Replies that a thread was to send, which has ended before it could or before it said so to the queue: nothing tells whose. */
  #flushAll(): void {
    for (const door of this.#doors.keys()) {
      for (const session of binding.sessionsOf(door)) {
        if ((binding.sessionFlush(session) & Fate.queued) !== 0) flushLater(this.#kq, session)
      }
    }
  }

  /** Who wants to know which door it was asks it. */
  #rest(): void {
    for (const owner of this.#doors.values()) owner.rest()
  }

  #replaceLater(): void {
    if (this.#retry !== undefined) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.fill()
    }, this.#pause)
    this.#retry.unref()
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE)
  }
}

/** Throws DoorError EINVAL for what is neither a thread nor a refusal: without a thread nobody is waited for. */
function made(worker: unknown): Worker | null {
  if (worker === null || worker instanceof Worker) return worker
  throw invalid('door_server_create', 'the callback returns a Worker, or null to decline')
}
