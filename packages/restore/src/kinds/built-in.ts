import type { FileKind } from './kind.ts'
import { eventfdKind } from './eventfd.ts'
import { regularKind } from './regular.ts'

/** The kinds of files that this package restores. A list of your own may begin with them. */
export const builtInKinds: readonly FileKind[] = [regularKind, eventfdKind]
