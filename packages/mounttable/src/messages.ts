import type { Mount, MountName } from './mount.ts'

/** What an error is when it crosses to another thread: its own class may not survive a clone. */
export interface ErrorText {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
}

/** A generation and where it is: who applies a change may have forgotten what was there. */
export interface PlacedName extends MountName {
  readonly host: string | undefined
  readonly prefix: string
}

/** A change of what lookups find. Who applies it has seen every one with a smaller version. */
export interface Publication {
  readonly version: number
  readonly added: readonly PlacedName[]
  readonly removed: readonly PlacedName[]
}

export type ToMember<Spec> =
  | { readonly type: 'snapshot'; readonly version: number; readonly mounts: readonly Mount<Spec>[] }
  | { readonly type: 'prepare'; readonly mount: Mount<Spec> }
  | { readonly type: 'publish'; readonly publication: Publication }
  /** The generation is gone, whether it was ever published or not: dispose of its handler. */
  | { readonly type: 'retire'; readonly name: MountName }
  /** Its leases are no longer waited for: abort their signals. */
  | { readonly type: 'force'; readonly name: MountName }

export type ToControl =
  | { readonly type: 'attach'; readonly thread: number }
  | { readonly type: 'prepared'; readonly name: MountName; readonly error?: ErrorText }
  | { readonly type: 'drained'; readonly slot: number }
  | { readonly type: 'leave' }

export function errorText(error: unknown): ErrorText {
  if (error instanceof Error) return { name: error.name, message: error.message, stack: error.stack }
  return { name: 'Error', message: String(error), stack: undefined }
}

export function errorFromText(text: ErrorText): Error {
  const error = new Error(text.message)
  error.name = text.name
  if (text.stack !== undefined) error.stack = text.stack
  return error
}
