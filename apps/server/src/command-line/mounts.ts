import type { Target } from './command-line.ts'
import type { MountRow } from '../status/mount-row.ts'
import { readableDuration, renderTable } from './terminal-table.ts'
import { targetClient } from './target-client.ts'

/** Prints what is mounted. */
export async function runMounts(target: Target): Promise<void> {
  const mounts = await targetClient(target).mounts()
  process.stdout.write(target.json ? `${JSON.stringify(mounts, null, 2)}\n` : mountTable(mounts))
}

function mountTable(mounts: readonly MountRow[]): string {
  if (mounts.length === 0) return 'Nothing is mounted.\n'
  const columns = [
    { heading: 'PREFIX' },
    { heading: 'HOST' },
    { heading: 'STATE' },
    { heading: 'SINCE' },
    { heading: 'GENERATION', isNumber: true },
    { heading: 'REFERENCES', isNumber: true },
    { heading: 'SERVED', isNumber: true },
    { heading: 'MODULE' },
  ]
  const rows = mounts.map((mount) => [
    mount.prefix,
    mount.host ?? 'any',
    mount.state,
    readableDuration(Date.now() - mount.since),
    String(mount.generation),
    String(mount.references),
    String(mount.served),
    mount.module,
  ])
  return renderTable(columns, rows)
}
