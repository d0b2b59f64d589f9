import { MountTableError, type Holder } from './errors.ts'
import { publishEvent } from './events.ts'
import { Generation, type Lineage } from './generation.ts'
import type { Members } from './members.ts'
import { cleanUp, type Cleanup, type Content, type MountHooks } from './mount-hooks.ts'
import type { Mount, MountInfo, MountName, MountState } from './mount.ts'
import {
  ACTIVE,
  DRAINED,
  DRAINING,
  FREE,
  generationOf,
  slotWord,
  stateOf,
  type SharedTable,
} from './shared-table.ts'

export interface GenerationEvents<Spec> {
  /** No thread will use it again. */
  retired(name: MountName): void
  forced(name: MountName): void
  /** Cleaned up, and its slot is free. */
  gone(generation: Generation<Spec>): void
}

/** What is known of a generation that was found. */
export interface Adopted<Spec> {
  readonly mount: Mount<Spec>
  readonly lineage: Lineage<Spec>
  readonly hooks: MountHooks<Spec>
  readonly nameless: boolean
}

type Where = Pick<Mount<unknown>, 'host' | 'prefix'>

const STATES: readonly (MountState | undefined)[] = [undefined, 'init', 'active', 'draining', 'drained']

/** The life of generations: from a free slot, through its states, to the clean-up and a free slot again. */
export class Generations<Spec> {
  readonly #shared: SharedTable
  readonly #members: Members<Spec>
  readonly #cleanup: Cleanup<Spec> | undefined
  readonly #events: GenerationEvents<Spec>
  readonly #bySlot = new Map<number, Generation<Spec>>()
  /** First in, first out: a slot rests as long as possible before its next generation. */
  readonly #freeSlots: number[]
  /** Free slots that were forced: leases of their last generation may still come back. */
  readonly #lateSlots = new Set<number>()
  #closed = false

  constructor(
    shared: SharedTable,
    members: Members<Spec>,
    cleanup: Cleanup<Spec> | undefined,
    events: GenerationEvents<Spec>,
  ) {
    this.#shared = shared
    this.#members = members
    this.#cleanup = cleanup
    this.#events = events
    this.#freeSlots = Array.from({ length: shared.slots }, (_, index) => index)
  }

  all(): Generation<Spec>[] {
    return [...this.#bySlot.values()]
  }

  inSlot(slot: number): Generation<Spec> | undefined {
    return this.#bySlot.get(slot)
  }

  named(name: MountName): Generation<Spec> | undefined {
    const generation = this.inSlot(name.slot)
    return generation?.mount.generation === name.generation ? generation : undefined
  }

  /**
   * Takes a slot, in state INIT.
   *
   * @throws MountTableError ERR_MOUNT_SLOTS, ERR_MOUNT_GENERATIONS
   */
  begin(syscall: string, where: Where, lineage: Lineage<Spec>, content: Content<Spec>): Generation<Spec> {
    if (this.#shared.exhausted && this.#bySlot.size > 0) {
      throw new MountTableError(
        'ERR_MOUNT_GENERATIONS',
        syscall,
        'all numbers of generations have been given; stop() and start() the table, and they begin again',
      )
    }
    const slot = this.#takeSlot()
    if (slot === undefined) {
      throw new MountTableError('ERR_MOUNT_SLOTS', syscall, this.#slotsMessage())
    }
    // Here and not when the slot became free: a forced lease may have been counted and not yet noted as served.
    this.#shared.clearServed(slot)
    const mount = {
      prefix: where.prefix,
      host: where.host,
      slot,
      generation: this.#shared.nextGeneration(slot),
      spec: content.spec,
    }
    const generation = new Generation(mount, lineage, content.hooks)
    this.#bySlot.set(slot, generation)
    lineage.generations.add(generation)
    return generation
  }

  /** Takes over what an earlier control thread has left in the slots; `point` has what is known of it. */
  adopt(point: (name: MountName) => Adopted<Spec>): void {
    this.#freeSlots.length = 0
    for (let slot = 0; slot < this.#shared.slots; slot++) {
      const word = this.#shared.word(slot)
      const held = this.#shared.references(slot) !== 0
      if (stateOf(word) === FREE) {
        this.#freeSlots.push(slot)
        if (held) this.#lateSlots.add(slot)
        continue
      }
      const { mount, lineage, hooks, nameless } = point({ slot, generation: generationOf(word) })
      const generation = new Generation(mount, lineage, hooks)
      generation.drainingSince = performance.now()
      generation.nameless = nameless
      generation.forced = held && stateOf(word) === DRAINED
      this.#bySlot.set(slot, generation)
      lineage.generations.add(generation)
      this.check(generation)
    }
  }

  activate(generation: Generation<Spec>): void {
    this.#move(generation, ACTIVE)
  }

  /** Gives up one that was never active. What its init hook made is cleaned up, as soon as that has ended. */
  abort(generation: Generation<Spec>, error: unknown): void {
    const { mount, initialized } = generation
    this.#events.retired(generation.name)
    publishEvent('aborted', { mount, error })
    if (initialized === undefined) {
      this.#leave(generation)
      return
    }
    generation.finishing = true
    generation.drainingSince = performance.now()
    void this.#undo(generation, initialized)
  }

  /** After this no lease of it can be taken. What replaces it has to be published before. */
  drain(generation: Generation<Spec>): void {
    generation.drainingSince = performance.now()
    this.#move(generation, DRAINING)
    publishEvent('draining', { mount: generation.mount })
    this.check(generation)
  }

  /** Ends all waits; nothing is cleaned up any more. */
  close(error: Error): void {
    this.#closed = true
    for (const generation of this.#bySlot.values()) {
      generation.finishing = true
      generation.settle(error)
    }
  }

  /** Finishes it if its last lease is back, whoever noticed, and whether or not a message about that was lost. */
  check(generation: Generation<Spec>): void {
    const { slot } = generation.mount
    if (this.#shared.settle(slot) || stateOf(this.#shared.word(slot)) === DRAINED)
      void this.#finish(generation)
  }

  /** Stops waiting for its leases. Their signals abort, and late releases change nothing but their counts. */
  force(generation: Generation<Spec>): void {
    const { slot } = generation.mount
    const word = this.#shared.word(slot)
    // The slot may have had another generation since the caller made its list.
    if (generation.finishing || word !== slotWord(generation.mount.generation, DRAINING)) return
    publishEvent('forced', { mount: generation.mount })
    this.#events.forced(generation.name)
    // Whoever loses this exchange to the last release finds the same state, and no lease.
    generation.forced = this.#shared.exchange(slot, word, DRAINED)
    void this.#finish(generation)
  }

  /** Keeps what a stripe has served, before it is cleared. */
  foldServed(stripe: number): void {
    for (const { mount, lineage } of this.#bySlot.values()) {
      lineage.servedBefore += this.#shared.stripeServed(stripe, mount.slot)
    }
  }

  /** Empty when it is gone: then the counts of its slot are those of another. */
  holders(generation: Generation<Spec>): Holder[] {
    if (this.inSlot(generation.mount.slot) !== generation) return []
    const { slot, prefix, host, generation: number } = generation.mount
    const age = Math.round(performance.now() - generation.drainingSince)
    return this.#members
      .holding(slot)
      .map((holding) => ({ ...holding, prefix, host, generation: number, age }))
  }

  /** Free slots that wait for the leases of a forced generation. */
  keptSlots(): number[] {
    return [...this.#lateSlots].filter((slot) => this.#shared.references(slot) !== 0)
  }

  /** As it is now; `add` gets its leases, a number a stripe. */
  describe(generation: Generation<Spec>, add?: (counts: readonly number[]) => void): MountInfo<Spec> {
    const { mount, lineage } = generation
    // A worker may have ended the drain, and its message be on the way.
    if (generation.drainingSince > 0 && !generation.finishing) this.check(generation)
    let counts: number[]
    let word: number
    do {
      word = this.#shared.word(mount.slot)
      counts = this.#shared.counts(mount.slot)
    } while (this.#shared.word(mount.slot) !== word)
    add?.(counts)
    let served = lineage.servedBefore
    for (const each of lineage.generations) served += this.#shared.served(each.mount.slot)
    return {
      ...mount,
      state: STATES[stateOf(word)] ?? 'init',
      references: counts.reduce((sum, count) => sum + count, 0),
      since: generation.since,
      served,
    }
  }

  /** A slot that late releases of a forced generation may still change is passed over. */
  #takeSlot(): number | undefined {
    for (let tries = this.#freeSlots.length; tries > 0; tries--) {
      const slot = this.#freeSlots.shift()
      if (slot === undefined) return undefined
      if (!this.#lateSlots.has(slot) || this.#shared.references(slot) === 0) {
        this.#lateSlots.delete(slot)
        return slot
      }
      this.#freeSlots.push(slot)
    }
    return undefined
  }

  #slotsMessage(): string {
    const kept = this.keptSlots().length
    const late = kept === 0 ? '' : `, ${kept} of them kept by leases that outlived a forced drain`
    return `all ${this.#shared.slots} slots are in use${late}; raise the option 'slots', or wait for those that drain`
  }

  #move(generation: Generation<Spec>, state: number): void {
    this.#shared.setWord(generation.mount.slot, slotWord(generation.mount.generation, state))
    generation.since = Date.now()
  }

  async #finish(generation: Generation<Spec>): Promise<void> {
    if (generation.finishing) return
    generation.finishing = true
    generation.since = Date.now()
    // Who called may be a handler that has just released its lease: it returns first.
    await Promise.resolve()
    if (this.#closed) return
    const { mount } = generation
    publishEvent('drained', { mount })
    this.#events.retired(generation.name)
    const cleanups = generation.nameless ? [] : [generation.hooks.cleanup, this.#cleanup]
    await this.#cleanUp(generation, cleanups)
  }

  async #undo(generation: Generation<Spec>, initialized: Promise<boolean>): Promise<void> {
    const succeeded = await initialized
    if (this.#closed) return
    if (succeeded) {
      this.#move(generation, DRAINED)
      await this.#cleanUp(generation, [generation.hooks.cleanup])
    } else this.#leave(generation)
  }

  async #cleanUp(
    generation: Generation<Spec>,
    cleanups: readonly (Cleanup<Spec> | undefined)[],
  ): Promise<void> {
    const { mount } = generation
    const failure = await cleanUp(this.describe(generation), cleanups)
    this.#free(generation)
    publishEvent('cleaned', failure === undefined ? { mount } : { mount, error: failure.cause })
    this.#events.gone(generation)
    generation.settle(failure)
  }

  /** Of one that was never active, and for which there is nothing to clean up. */
  #leave(generation: Generation<Spec>): void {
    this.#free(generation)
    this.#events.gone(generation)
    generation.settle(undefined)
  }

  #free(generation: Generation<Spec>): void {
    const { mount, lineage } = generation
    lineage.servedBefore += this.#shared.served(mount.slot)
    this.#move(generation, FREE)
    if (generation.forced) this.#lateSlots.add(mount.slot)
    this.#bySlot.delete(mount.slot)
    this.#freeSlots.push(mount.slot)
    lineage.generations.delete(generation)
  }
}
