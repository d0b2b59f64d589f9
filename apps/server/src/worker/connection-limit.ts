import { connections } from '@x/http1'
import type { ServerMemory } from './server-memory.ts'

/**
 * Bounds the connections of the process. Only the worker that has the listener's event asks for room, so the bound
 * is exact. At the bound the listener's knote stays disabled and who comes waits in the kernel's backlog; the
 * worker that closes a connection next enables it again, so nobody looks in vain.
 */
export class ConnectionLimit {
  readonly #memory: ServerMemory
  readonly #stripe: number
  readonly #most: number | undefined

  constructor(memory: ServerMemory, stripe: number, most: number | undefined) {
    this.#memory = memory
    this.#stripe = stripe
    this.#most = most
  }

  /** How many connections to accept now, at most `wanted`. With 0 the listener is left alone. */
  room(wanted: number): number {
    if (this.#most === undefined) return wanted
    const room = this.#left(wanted)
    if (room > 0) return room
    this.#memory.pauseAccepting()
    // One may have been closed before that mark: its worker has seen no mark, and would enable nothing.
    const after = this.#left(wanted)
    if (after > 0 && this.#memory.resumeAccepting()) return after
    this.#memory.count(this.#stripe, 'acceptPausesLimit')
    return 0
  }

  countNoDescriptors(): void {
    this.#memory.count(this.#stripe, 'acceptPausesDescriptors')
  }

  #left(wanted: number): number {
    return Math.max(0, Math.min(wanted, (this.#most ?? Infinity) - connections().open))
  }
}
