import { MountTableError } from './errors.ts'

/**
 * A copy that nobody changes, because members that join later get it as it is now.
 *
 * @throws MountTableError ERR_MOUNT_SPEC
 */
export function copySpec<Spec>(syscall: string, spec: Spec): Spec {
  try {
    const copy = structuredClone(spec)
    freeze(copy)
    return copy
  } catch (cause) {
    throw new MountTableError(
      'ERR_MOUNT_SPEC',
      syscall,
      "a spec must be something structuredClone() can copy; a table with 'members: 0' takes anything",
      { cause },
    )
  }
}

/** Plain objects and arrays, to any depth; what else can be cloned cannot be frozen or is shared on purpose. */
function freeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== Array.prototype) return
  Object.freeze(value)
  for (const part of Object.values(value)) freeze(part)
}
