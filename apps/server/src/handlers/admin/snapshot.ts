import type { ControlClient } from '../../control/control-client.ts'
import type { ServerStatus } from '../../control/control-protocol.ts'
import type { MountRow } from '../../status/mount-row.ts'

/** What the page shows. Options of mounts are not in it: they may hold secrets. */
export interface Snapshot {
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly status: ServerStatus
  readonly mounts: MountRow[]
}

export async function takeSnapshot(client: ControlClient, signal?: AbortSignal): Promise<Snapshot> {
  const [status, mounts] = await Promise.all([client.status(signal), client.mounts(signal)])
  return { time: Date.now(), status, mounts }
}
