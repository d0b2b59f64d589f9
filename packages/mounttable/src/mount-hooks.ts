import { MountTableError } from './errors.ts'
import { checkFunctions } from './limits.ts'
import type { Mount, MountInfo } from './mount.ts'

/** Undoes in the control thread what a mount needed, once a generation, after its last lease. */
export type Cleanup<Spec> = (mount: MountInfo<Spec>) => void | Promise<void>

/** What the control thread does around the life of one mount. */
export interface MountHooks<Spec> {
  /** Runs once, before any thread is asked to prepare. When it fails nothing is mounted. */
  readonly init?: (mount: Mount<Spec>) => void | Promise<void>
  /**
   * Runs once, after the last lease; also when `init` has run and the mount came to nothing. The table's own
   * clean-up comes after it.
   */
  readonly cleanup?: Cleanup<Spec>
}

/** What a generation is made of. */
export interface Content<Spec> {
  readonly spec: Spec
  readonly hooks: MountHooks<Spec>
}

/** @throws MountTableError EINVAL when one is there and is no function. */
export function hooksOf<Spec>(syscall: string, { init, cleanup }: MountHooks<Spec>): MountHooks<Spec> {
  checkFunctions(syscall, { init, cleanup })
  return { ...(init !== undefined && { init }), ...(cleanup !== undefined && { cleanup }) }
}

/** Runs all clean-ups, whether or not one fails; the error is of the first that did. */
export async function cleanUp<Spec>(
  mount: MountInfo<Spec>,
  cleanups: readonly (Cleanup<Spec> | undefined)[],
): Promise<MountTableError | undefined> {
  const causes: unknown[] = []
  for (const cleanup of cleanups) {
    try {
      await cleanup?.(mount)
    } catch (error) {
      causes.push(error)
    }
  }
  if (causes.length === 0) return undefined
  const cause = causes.length === 1 ? causes[0] : new AggregateError(causes)
  return new MountTableError('ERR_MOUNT_CLEANUP', 'cleanup', `the clean-up of ${mount.prefix} failed`, {
    cause,
  })
}
