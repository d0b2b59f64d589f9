import { channel, type Channel } from 'node:diagnostics_channel'
import type { Mount } from './mount.ts'

/** The message on every channel. */
export interface MountEvent {
  readonly mount: Mount<unknown>
  /** On `cleaned`, what the clean-up threw; on `disposeFailed`, what dispose threw. */
  readonly error?: unknown
}

type EventName =
  'mounted' | 'rolledBack' | 'aborted' | 'replaced' | 'draining' | 'drained' | 'cleaned' | 'disposeFailed'

const channels: Record<EventName, Channel> = {
  mounted: channel('x.mounttable.mounted'),
  rolledBack: channel('x.mounttable.rolledBack'),
  aborted: channel('x.mounttable.aborted'),
  replaced: channel('x.mounttable.replaced'),
  draining: channel('x.mounttable.draining'),
  drained: channel('x.mounttable.drained'),
  cleaned: channel('x.mounttable.cleaned'),
  disposeFailed: channel('x.mounttable.disposeFailed'),
}

export function publishEvent(name: EventName, event: MountEvent): void {
  if (channels[name].hasSubscribers) channels[name].publish(event)
}
