import { MountTableError } from './errors.ts'
import type { Limits } from './limits.ts'
import { hooksOf, type MountHooks } from './mount-hooks.ts'
import type { MountInfo, MountName } from './mount.ts'
import type { Generations } from './generations.ts'
import type { Members } from './members.ts'
import { label, placeOf } from './place.ts'
import type { Rollout } from './rollout.ts'
import { ACTIVE, slotWord, type SharedTable } from './shared-table.ts'
import type { MountTableOptions } from './table-options.ts'

/** What is known of a generation that an earlier control thread has left behind, and its hooks. */
export type KnownMount<Spec> = MountInfo<Spec> & MountHooks<Spec>

export interface RecoveryOptions<Spec, Handler>
  extends Omit<MountTableOptions<Spec, Handler>, 'slots' | 'members'>, Limits {
  /**
   * What list() of the ended control thread said last, wherever that was kept. What was active is mounted again; what
   * is not in the list is only waited for, because nobody knows how to clean it up.
   */
  readonly mounts?: readonly KnownMount<Spec>[]
}

/** The generations that a list names, checked. */
export class KnownMounts<Spec> {
  readonly #byWord = new Map<number, { mount: KnownMount<Spec>; slot: number }[]>()

  /** @throws MountTableError EINVAL, ERR_MOUNT_PREFIX and its kin, ERR_MOUNT_HOST */
  constructor(mounts: unknown) {
    if (!Array.isArray(mounts)) throw notAList()
    for (const mount of mounts as unknown[]) {
      if (typeof mount !== 'object' || mount === null) throw notAList()
      const known = mount as KnownMount<Spec>
      if (!Number.isInteger(known.slot) || !Number.isInteger(known.generation)) throw notAList()
      const place = placeOf('recover', known.prefix, known.host)
      hooksOf('recover', known)
      const word = slotWord(known.generation, ACTIVE)
      const same = this.#byWord.get(word) ?? []
      this.#byWord.set(word, [...same, { mount: { ...known, ...place }, slot: known.slot }])
    }
  }

  find({ slot, generation }: MountName): KnownMount<Spec> | undefined {
    return this.#byWord.get(slotWord(generation, ACTIVE))?.find((each) => each.slot === slot)?.mount
  }

  /** Those that lookups found last, one a place. */
  active(shared: SharedTable): KnownMount<Spec>[] {
    const current = new Map<string, KnownMount<Spec>>()
    for (const [word, same] of this.#byWord) {
      for (const { mount, slot } of same) {
        if (slot < 0 || slot >= shared.slots || shared.word(slot) !== word) continue
        // A control thread that ends in the middle of a replace() leaves two.
        const other = current.get(label(mount))
        if (other === undefined || other.generation < mount.generation) current.set(label(mount), mount)
      }
    }
    return [...current.values()]
  }
}

/** Puts what an earlier control thread has left into the records of this one. */
export function adopt<Spec, Handler>(
  known: KnownMounts<Spec>,
  members: Members<Spec>,
  generations: Generations<Spec>,
  rollout: Rollout<Spec, Handler>,
): void {
  members.adopt()
  generations.adopt((name) => {
    const mount = known.find(name)
    // Without a name there is no spec either, and nobody is handed one.
    const found = mount ?? { ...name, host: undefined, prefix: '', spec: undefined as Spec }
    const { slot, generation, host, prefix, spec } = found
    return {
      mount: { slot, generation, host, prefix, spec },
      lineage: rollout.pointAt({ host, prefix }).lineage,
      hooks: mount === undefined ? {} : hooksOf('recover', mount),
      nameless: mount === undefined,
    }
  })
}

const notAList = (): MountTableError =>
  new MountTableError('EINVAL', 'recover', "option 'mounts' must be an array of what list() returned")
