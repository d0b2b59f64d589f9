import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import type { Generation } from './generation.ts'
import type { Generations } from './generations.ts'
import { within, type Limits } from './limits.ts'
import { label } from './place.ts'

export interface DrainOptions extends Limits {
  /**
   * At the deadline, do not wait any longer for the leases that are still held: abort their signals and clean up.
   * Without a deadline, at once.
   */
  readonly force?: boolean
}

/** Waits until generations have drained and are cleaned up. */
export class Drains<Spec> {
  readonly #generations: Generations<Spec>

  constructor(generations: Generations<Spec>) {
    this.#generations = generations
  }

  /** @throws MountTableError ERR_MOUNT_DRAIN_DEADLINE, ERR_MOUNT_CLEANUP, EBADF */
  async untilGone(
    syscall: string,
    generations: readonly Generation<Spec>[],
    { force = false, ...limits }: DrainOptions,
  ): Promise<void> {
    const all = settled(generations)
    if (force && limits.deadline === undefined) this.#force(generations)
    try {
      await within(all, limits, () => this.#late(syscall, generations))
    } catch (error) {
      const late = error instanceof MountTableError && error.code === 'ERR_MOUNT_DRAIN_DEADLINE'
      if (!force || !late) throw error
      this.#force(generations)
      const { signal } = limits
      await within(all, signal === undefined ? {} : { signal }, () => error)
    }
  }

  #force(generations: readonly Generation<Spec>[]): void {
    for (const generation of generations) this.#generations.force(generation)
  }

  #late(syscall: string, generations: readonly Generation<Spec>[]): MountTableError {
    const left = generations.filter((generation) => this.#generations.named(generation.name) === generation)
    const holders = left.flatMap((generation) => {
      const these = this.#generations.holders(generation)
      publishEvent('late', { mount: generation.mount, holders: these })
      return these
    })
    const who = holders.map(
      (holder) =>
        `member ${holder.member} holds ${holder.count} of ${label(holder)} for at least ${holder.age} ms`,
    )
    return new MountTableError(
      'ERR_MOUNT_DRAIN_DEADLINE',
      syscall,
      `the deadline passed; ${who.join(', ') || 'the clean-up still runs'}`,
      { holders },
    )
  }
}

/** Waits for all, and then fails if one did. */
async function settled(generations: readonly { readonly gone: Promise<void> }[]): Promise<void> {
  const outcomes = await Promise.allSettled(generations.map((generation) => generation.gone))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}
