import { channel, type Channel } from 'node:diagnostics_channel'
import type { Holder } from './errors.ts'
import type { Mount } from './mount.ts'

/** What is said about one generation. */
export interface MountEvent {
  readonly mount: Mount<unknown>
  /** `aborted`: why it came to nothing. `cleaned`, `disposeFailed`: what the clean-up or dispose threw, if it did. */
  readonly error?: unknown
  /** `late`: who holds leases; nobody when only the clean-up still runs. */
  readonly holders?: readonly Holder[]
}

/** What is said about a table. */
export interface TableEvent {
  /** The version of what lookups find. */
  readonly version: number
}

/** What is said about a member. */
export interface MemberEvent {
  readonly member: number
  /** The `threadId` of its thread; undefined when it never joined. */
  readonly thread: number | undefined
}

interface Events {
  /** A slot is taken: init runs, then every thread prepares. */
  preparing: MountEvent
  mounted: MountEvent
  replaced: MountEvent
  rolledBack: MountEvent
  /** It was never active, and no thread has served it. */
  aborted: MountEvent
  draining: MountEvent
  /** A wait for its drain came to its deadline. */
  late: MountEvent
  /** Its leases are no longer waited for. */
  forced: MountEvent
  drained: MountEvent
  /** Its slot is free. */
  cleaned: MountEvent
  disposeFailed: MountEvent
  stopping: TableEvent
  /** After stop(): everything is cleaned up. */
  stopped: TableEvent
  started: TableEvent
  closed: TableEvent
  memberJoined: MemberEvent
  memberLeft: MemberEvent
  memberRemoved: MemberEvent
}

const named = (name: string): Channel => channel(`x.mounttable.${name}`)

const channels: Readonly<Record<keyof Events, Channel>> = {
  preparing: named('preparing'),
  mounted: named('mounted'),
  replaced: named('replaced'),
  rolledBack: named('rolledBack'),
  aborted: named('aborted'),
  draining: named('draining'),
  late: named('late'),
  forced: named('forced'),
  drained: named('drained'),
  cleaned: named('cleaned'),
  disposeFailed: named('disposeFailed'),
  stopping: named('stopping'),
  stopped: named('stopped'),
  started: named('started'),
  closed: named('closed'),
  memberJoined: named('memberJoined'),
  memberLeft: named('memberLeft'),
  memberRemoved: named('memberRemoved'),
}

export function publishEvent<Name extends keyof Events>(name: Name, event: Events[Name]): void {
  if (channels[name].hasSubscribers) channels[name].publish(event)
}
