import { MountTableError } from './errors.ts'
import { checkFunctions, checkNumber, checkOptions } from './limits.ts'
import type { Dispose, Prepare } from './mount.ts'
import type { Cleanup } from './mount-hooks.ts'
import { MAX_SLOTS, MAX_STRIPES } from './shared-table.ts'

export interface MountTableOptions<Spec, Handler> {
  /** Generations that can exist at once, those that drain included. Default 1024. */
  readonly slots?: number
  /**
   * Workers that can be members at once. Default 64. With 0 the table is this thread's alone: nothing is shared, specs
   * are taken as they are, of any type, and `prepare` may be left out: then a spec is its own handler.
   */
  readonly members?: number
  /** Generations of one mount point that may drain at once before the next is refused. Default 16. */
  readonly drainingLimit?: number
  /** Runs in this thread, once a generation, after its last lease is back. Its slot is not used again before. */
  readonly cleanup?: Cleanup<Spec>
  /** Makes this thread one that looks up, too. */
  readonly prepare?: Prepare<Spec, Handler>
  readonly dispose?: Dispose<Spec, Handler>
}

/** Those that a table which is taken over has, too. */
const LASTING_OPTIONS: readonly string[] = ['drainingLimit', 'cleanup', 'prepare', 'dispose']

/** @throws MountTableError EINVAL */
export function checkTableOptions(syscall: string, options: object, known: readonly string[]): void {
  checkOptions(syscall, options, [...known, ...LASTING_OPTIONS])
  const { slots, members, drainingLimit, cleanup, prepare, dispose } = options as Partial<
    Record<keyof MountTableOptions<unknown, unknown>, unknown>
  >
  checkCount(syscall, 'slots', slots, 1, MAX_SLOTS)
  checkCount(syscall, 'members', members, 0, MAX_STRIPES - 1)
  checkCount(syscall, 'drainingLimit', drainingLimit, 0, MAX_SLOTS)
  checkFunctions(syscall, { cleanup, prepare, dispose })
}

function checkCount(syscall: string, name: string, value: unknown, least: number, most: number): void {
  if (value === undefined) return
  checkNumber(syscall, name, value, least, most)
  if (!Number.isInteger(value)) {
    throw new MountTableError('EINVAL', syscall, `option '${name}' must be a whole number`)
  }
}
