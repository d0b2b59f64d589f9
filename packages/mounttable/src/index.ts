export type { DrainOptions } from './drains.ts'
export { MountTableError, type Holder, type MountTableErrorCode } from './errors.ts'
export type { MemberEvent, MountEvent, TableEvent } from './events.ts'
export type { MountTableHandle } from './handle.ts'
export type { Lease } from './lease.ts'
export type { Limits } from './limits.ts'
export type { MemberInfo } from './members.ts'
export type { Dispose, Mount, MountInfo, MountName, MountState, Prepare } from './mount.ts'
export type { Cleanup, MountHooks } from './mount-hooks.ts'
export {
  MountTable,
  type MountOptions,
  type NewMount,
  type Recovery,
  type Replacement,
  type RollbackOptions,
  type UnmountOptions,
} from './mount-table.ts'
export { MountTableMember, type AttachOptions } from './mount-table-member.ts'
export type { KnownMount, RecoveryOptions } from './recovery.ts'
export type { Callbacks } from './replica.ts'
export type { TableSnapshot } from './table-snapshot.ts'
export type { MountTableOptions } from './table-options.ts'
