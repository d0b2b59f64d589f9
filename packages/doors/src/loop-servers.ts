import type { KQueue } from '@x/kevent'
import { E } from './errors.ts'
import type { ServedDoor } from './procedure.ts'
import { Service } from './service.ts'
import { endSession, newQueue, refuseWaiting, watchSession } from './session.ts'
import type { Owner, Servers } from './servers.ts'

const BATCH = 16

/** The event loop of this thread serves: its procedures run here, asynchronous ones at the same time. */
export class LoopServers implements Servers {
  readonly #kq: KQueue
  readonly #service: Service
  readonly #doors = new Map<number, Owner & ServedDoor>()
  readonly #ended: () => void

  /** `ended` is called with the last door. */
  constructor(kq: KQueue, ended: () => void) {
    this.#kq = kq
    this.#ended = ended
    this.#service = new Service(
      this.#kq,
      {
        served: (door) => this.#doors.get(door),
        rest: () => {
          for (const door of this.#doors.values()) door.rest()
        },
        cancelElsewhere: () => undefined,
        busy: () => undefined,
        othersWait: () => false,
      },
      { batch: BATCH, shared: false, lingers: false },
      () => undefined,
    )
    // Names and opens of a door keep its process alive; a session is nothing without its open.
    this.#service.unref()
  }

  join(door: number, owner: Owner & ServedDoor): void {
    this.#doors.set(door, owner)
  }

  leave(door: number): void {
    this.#doors.delete(door)
    if (this.#doors.size > 0) return
    this.#ended()
    this.#service.stop()
    this.#kq.close()
  }

  watch(session: number): void {
    watchSession(this.#kq, session)
  }

  refuse(session: number): void {
    refuseWaiting(this.#kq, session, E.EBADF, (sequence) => {
      this.#service.cancel(session, sequence)
    })
  }

  end(session: number): void {
    this.#service.cancel(session, undefined)
    endSession(this.#kq, session)
  }
}

let current: LoopServers | undefined

/** Those of this thread, one for all its doors. */
export function loopServers(): LoopServers {
  current ??= new LoopServers(newQueue('door_create'), () => (current = undefined))
  return current
}
