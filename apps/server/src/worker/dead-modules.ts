import type { MountSpec } from '../handler.ts'

/**
 * Counts the handlers that a thread has done with. Their modules stay in its memory: ECMAScript knows no way to unload
 * one but to end its thread.
 */
export class DeadModules {
  readonly #most: number
  readonly #full: () => void
  #count = 0

  /** Calls `full` with the handler that makes `most`, and with each one after that. With 0 never. */
  constructor(most: number, full: () => void) {
    this.#most = most
    this.#full = full
  }

  add({ module }: MountSpec): void {
    // The built-in ones are one module, however often they are mounted.
    if (this.#most === 0 || module.startsWith('builtin:')) return
    this.#count++
    if (this.#count >= this.#most) this.#full()
  }
}
