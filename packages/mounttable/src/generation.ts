import type { Content, MountHooks } from './mount-hooks.ts'
import type { Mount, MountName } from './mount.ts'

/** All generations of one mount point, and what is left of those that are gone. */
export class Lineage<Spec> {
  /** In the order in which they began: those that drain, the current one, the one in preparation. */
  readonly generations: Set<Generation<Spec>> = new Set<Generation<Spec>>()
  /** Leases taken of generations, and by members, that are gone. */
  servedBefore = 0
  /** What the current generation took the place of. */
  previous: Content<Spec> | undefined = undefined

  draining(): Generation<Spec>[] {
    return [...this.generations].filter((generation) => generation.drainingSince > 0)
  }
}

/** The control thread's record of one use of a slot. */
export class Generation<Spec> {
  readonly mount: Mount<Spec>
  readonly lineage: Lineage<Spec>
  readonly hooks: MountHooks<Spec>
  /**
   * Settles when it has left its slot: rejects when its clean-up threw, or when the table is closed first. One that
   * came to nothing is gone, too.
   */
  readonly gone: Promise<void>
  /** Milliseconds since the epoch of the last change of state. */
  since: number = Date.now()
  /** When it began to drain, on the clock of performance.now(); 0 before. */
  drainingSince = 0
  /** The one who sets it runs the clean-up. */
  finishing = false
  /** It was given up with leases still held. */
  forced = false
  /** It was found without a name: nobody knows how to clean it up. */
  nameless = false
  /** Its init hook: whether that succeeded. */
  initialized: Promise<boolean> | undefined = undefined
  #resolve!: () => void
  #reject!: (error: Error) => void

  constructor(mount: Mount<Spec>, lineage: Lineage<Spec>, hooks: MountHooks<Spec>) {
    this.mount = mount
    this.lineage = lineage
    this.hooks = hooks
    this.gone = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Nobody has to wait for it; a failed clean-up is published as an event in any case.
    this.gone.catch(() => undefined)
  }

  get name(): MountName {
    return { slot: this.mount.slot, generation: this.mount.generation }
  }

  get content(): Content<Spec> {
    return { spec: this.mount.spec, hooks: this.hooks }
  }

  settle(error: Error | undefined): void {
    if (error === undefined) this.#resolve()
    else this.#reject(error)
  }
}
