import { KQueue } from '@x/kevent'
import { binding } from './binding.ts'
import { DoorError, E, invalid } from './errors.ts'
import { PoolChannel, type PoolMessage } from './pool-channel.ts'
import {
  consumerAt,
  isDepleted,
  SlotState,
  someoneWaits,
  stateAt,
  Word,
  type PoolHandle,
} from './pool-handle.ts'
import type { ServedDoor } from './procedure.ts'
import { loadDoor } from './procedure-module.ts'
import { Service } from './service.ts'
import { threadKey } from './thread-key.ts'

/** This thread's membership in a pool: it serves the pool's doors until it is unbound. */
export class BoundThread implements Disposable {
  /** Resolves when it serves no more: it was unbound, or the pool has ended. */
  readonly unbound: Promise<void>
  readonly #handle: PoolHandle
  readonly #words: Int32Array
  readonly #kq: KQueue
  readonly #channel: PoolChannel
  readonly #service: Service
  readonly #doors = new Map<number, ServedDoor | Promise<ServedDoor>>()
  #settle!: () => void
  #over = false

  /** @internal See {@link bind}. */
  constructor(handle: PoolHandle) {
    this.#handle = handle
    this.#words = new Int32Array(handle.states)
    this.unbound = new Promise((resolve) => (this.#settle = resolve))
    this.#kq = KQueue.attach(handle.kqueue)
    const { starting, waits } = SlotState
    if (Atomics.compareExchange(this.#words, stateAt(handle.slot), starting, waits) !== starting) {
      this.#kq.release()
      throw invalid('door_bind', 'a handle is good for one bind: this one was used before')
    }
    // Not in a message: the owner may hear of the end of this thread before that.
    Atomics.store(this.#words, consumerAt(handle.slot), this.#kq.consumer)
    this.#channel = new PoolChannel(handle.pool, (message) => {
      this.#receive(message)
    })
    this.#service = new Service(
      this.#kq,
      {
        served: (door) => this.#doors.get(door) ?? this.#load(door),
        rest: () => {
          this.#channel.post({ type: 'rest' })
        },
        cancelElsewhere: (session, sequence) => {
          this.#channel.post({ type: 'cancel', session, sequence })
        },
        busy: (isBusy) => {
          this.#busy(isBusy)
        },
        othersWait: () => someoneWaits(this.#words),
      },
      { batch: 1, shared: true, lingers: true },
      () => {
        this.#end()
      },
    )
    this.#channel.post({ type: 'bound', slot: handle.slot, thread: threadKey })
  }

  /** The number of the door that it is bound to; 0 when it serves several. @internal */
  get door(): number {
    return this.#handle.door
  }

  /**
   * Leaves the pool (door_unbind(3C)): takes no call any more. Calls of its asynchronous procedures are answered. Throws
   * DoorError EBADF when it is not bound.
   */
  unbind(): void {
    if (this.#over) throw new DoorError(E.EBADF, 'door_unbind', { detail: 'this thread is not bound' })
    this.#service.stop()
    Atomics.store(this.#words, stateAt(this.#handle.slot), SlotState.runs)
    this.#end()
  }

  [Symbol.dispose](): void {
    if (!this.#over) this.unbind()
  }

  #busy(isBusy: boolean): void {
    const words = this.#words
    Atomics.store(words, stateAt(this.#handle.slot), isBusy ? SlotState.runs : SlotState.waits)
    // One of those that find it so tells of it; whoever makes the next thread takes the mark away.
    if (isBusy && isDepleted(words) && Atomics.compareExchange(words, Word.asked, 0, 1) === 0)
      this.#channel.post({ type: 'depleted' })
  }

  #load(door: number): Promise<ServedDoor> | undefined {
    const source = binding.doorSource(door)
    if (typeof source === 'number') return undefined
    const loading = loadDoor(new Uint8Array(source))
    this.#doors.set(door, loading)
    loading.then(
      (served) => this.#doors.set(door, served),
      // The next call may find a module that is whole.
      () => this.#doors.delete(door),
    )
    return loading
  }

  #receive(message: PoolMessage): void {
    if (message.type === 'cancel') this.#service.cancel(message.session, message.sequence)
    else if (message.type === 'ended') this.#service.cancelAborted()
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    if (bound === this) bound = undefined
    void this.#service.settled().then(() => {
      Atomics.store(this.#words, stateAt(this.#handle.slot), SlotState.free)
      this.#channel.post({ type: 'unbound', slot: this.#handle.slot, thread: threadKey })
      this.#channel.close()
      this.#kq.release()
      this.#settle()
    })
  }
}

let bound: BoundThread | undefined

/** The binding of this thread. @internal */
export const boundThread = (): BoundThread | undefined => bound

/**
 * Makes this thread serve (door_bind(3C), and then door_return(3C)): of a private pool the door that it belongs to, of a
 * shared one all its doors. A thread serves one pool at a time: to bind it again unbinds it before. Throws DoorError EBADF
 * when the pool has ended, or is of another process; EINVAL for what is no handle, or was used before.
 */
export function bind(handle: PoolHandle): BoundThread {
  const { pool, states, kqueue } = (handle as Partial<PoolHandle> | undefined) ?? {}
  if (typeof pool !== 'string' || !(states instanceof SharedArrayBuffer) || kqueue === undefined)
    throw invalid('door_bind', 'this is no handle of a pool: pass what the server creation callback is given')
  bound?.unbind()
  try {
    bound = new BoundThread(handle)
  } catch (cause) {
    if (cause instanceof DoorError) throw cause
    throw new DoorError(E.EBADF, 'door_bind', { cause, detail: 'the pool has ended' })
  }
  return bound
}
