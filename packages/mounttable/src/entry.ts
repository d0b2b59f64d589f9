import type { Mount } from './mount.ts'
import { label } from './place.ts'

/** Takes leases back. */
export interface EntryOwner {
  release(entry: Entry<unknown, unknown>): void
}

/** One generation in one thread: the mount and what was prepared for it here. */
export class Entry<Spec, Handler> {
  readonly mount: Mount<Spec>
  readonly slot: number
  /** The word that the slot has while lookups may take leases of this generation. */
  readonly active: number
  readonly owner: EntryOwner
  /** Undefined until prepare has settled; nothing finds the entry before. */
  handler: Handler | undefined = undefined
  prepared = false
  #controller: AbortController | undefined = undefined
  #forced = false
  #withdrawn: (() => void) | undefined = undefined

  constructor(mount: Mount<Spec>, active: number, owner: EntryOwner) {
    this.mount = mount
    this.slot = mount.slot
    this.active = active
    this.owner = owner
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#forced) this.#controller.abort()
    }
    return this.#controller.signal
  }

  /** Resolves with {@link withdraw}; asked for once at most. */
  untilWithdrawn(): Promise<void> {
    return new Promise((resolve) => {
      this.#withdrawn = resolve
    })
  }

  /** Lookups find it no more. */
  withdraw(): void {
    this.#withdrawn?.()
  }

  /** A lookup of another request may be what took the message from the port: listeners run after it. */
  force(): void {
    this.#forced = true
    const controller = this.#controller
    if (controller === undefined) return
    queueMicrotask(() => {
      controller.abort()
    })
  }

  toString(): string {
    return `${label(this.mount)}, generation ${this.mount.generation}`
  }
}
