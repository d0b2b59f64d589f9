/** Who holds leases of a mount that should go away. */
export interface Holder {
  /** Id of the member; 0 is the control thread. */
  readonly member: number
  /** The `threadId` of the member's thread; undefined when it never joined. */
  readonly thread: number | undefined
  /** Of what. */
  readonly prefix: string
  readonly host: string | undefined
  readonly generation: number
  /** Leases it holds. */
  readonly count: number
  /**
   * Milliseconds since the mount began to drain. Each of these leases was taken before, so none is younger;
   * the moment a lease is taken is not recorded, because reading a clock costs as much as the lease.
   */
  readonly age: number
}

/** Every `code` that a {@link MountTableError} can have. The README says when each occurs. */
export type MountTableErrorCode =
  | 'EBADF'
  | 'EINVAL'
  | 'ERR_LEASE_RELEASED'
  | 'ERR_MOUNT_ATTACHED'
  | 'ERR_MOUNT_CLEANUP'
  | 'ERR_MOUNT_DRAINING_LIMIT'
  | 'ERR_MOUNT_DRAIN_DEADLINE'
  | 'ERR_MOUNT_GENERATIONS'
  | 'ERR_MOUNT_HOST'
  | 'ERR_MOUNT_INIT'
  | 'ERR_MOUNT_LAYOUT'
  | 'ERR_MOUNT_MEMBERS'
  | 'ERR_MOUNT_NOT_FOUND'
  | 'ERR_MOUNT_NO_PREVIOUS'
  | 'ERR_MOUNT_PREFIX'
  | 'ERR_MOUNT_PREFIX_EMPTY'
  | 'ERR_MOUNT_PREFIX_FORM'
  | 'ERR_MOUNT_PREFIX_LENGTH'
  | 'ERR_MOUNT_PREPARE'
  | 'ERR_MOUNT_REFERENCES'
  | 'ERR_MOUNT_SLOTS'
  | 'ERR_MOUNT_SPEC'
  | 'ERR_MOUNT_STOPPING'
  | 'ERR_MOUNT_TAKEN'
  | 'ERR_MOUNT_TARGET'

const ERRNO: Partial<Record<MountTableErrorCode, number>> = { EBADF: -9, EINVAL: -22 }

const BRAND = Symbol.for('@x/mounttable.MountTableError')

/**
 * What every function of this package throws on its own account. `instanceof` holds across two copies of the
 * package in one program.
 */
export class MountTableError extends Error {
  override readonly name = 'MountTableError'
  readonly code: MountTableErrorCode
  /** Negative error number of the codes that have one (EBADF, EINVAL). */
  readonly errno: number | undefined
  /** The function that failed. */
  readonly syscall: string
  /** Who still holds leases, when the code is ERR_MOUNT_DRAIN_DEADLINE; else empty. */
  readonly holders: readonly Holder[]

  constructor(
    code: MountTableErrorCode,
    syscall: string,
    message: string,
    details: { cause?: unknown; holders?: readonly Holder[] } = {},
  ) {
    super(`${code}: ${message}, ${syscall}`, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.errno = ERRNO[code]
    this.syscall = syscall
    this.holders = details.holders ?? []
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && BRAND in value
  }
}
