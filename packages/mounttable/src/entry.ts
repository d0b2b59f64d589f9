import type { Mount } from './mount.ts'

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
  #retired: (() => void) | undefined = undefined

  constructor(mount: Mount<Spec>, active: number, owner: EntryOwner) {
    this.mount = mount
    this.slot = mount.slot
    this.active = active
    this.owner = owner
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#forced) this.#controller.abort()
    return this.#controller.signal
  }

  /** Resolves with {@link retire}; asked for once at most. */
  untilRetired(): Promise<void> {
    return new Promise((resolve) => {
      this.#retired = resolve
    })
  }

  retire(): void {
    this.#retired?.()
  }

  force(): void {
    this.#forced = true
    this.#controller?.abort()
  }
}
