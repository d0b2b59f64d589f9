import type { Place } from './command-line.ts'
import type { ControlClient } from '../control/control-client.ts'
import { mountName } from '../config/mount-name.ts'
import type { MountRow } from '../status/mount-row.ts'

const refreshEvery = 500

/** Settles as `work` does; until then a terminal shows on one line what still holds the mount. */
export async function showingDrain<T>(client: ControlClient, place: Place, work: Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work
  const done = new AbortController()
  const shown = showUntil(client, place, done.signal)
  try {
    return await work
  } finally {
    done.abort()
    await shown
    process.stderr.write('\r\u001b[K')
  }
}

async function showUntil(client: ControlClient, place: Place, done: AbortSignal): Promise<void> {
  while (await refreshed(done)) {
    // What goes wrong here is the command's own to report.
    const mounts = await client.mounts(done).catch((): MountRow[] => [])
    const draining = mounts.filter((mount) => isDraining(mount, place))
    if (draining.length > 0) process.stderr.write(`\r${progress(place, draining)}\u001b[K`)
  }
}

/** Resolves at the next refresh, or with false at once when there is no need of one any more. */
function refreshed(done: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer)
      done.removeEventListener('abort', finish)
      resolve(!done.aborted)
    }
    const timer = setTimeout(finish, refreshEvery)
    done.addEventListener('abort', finish)
    if (done.aborted) finish()
  })
}

function isDraining(mount: MountRow, place: Place): boolean {
  const leaves = mount.state === 'draining' || mount.state === 'drained'
  return leaves && mount.prefix === place.prefix && mount.host === place.host
}

function progress(place: Place, draining: readonly MountRow[]): string {
  const held = draining.map(({ generation, references, state }) =>
    state === 'drained'
      ? `generation ${generation} is cleaned up`
      : `generation ${generation} is held by ${references} ${references === 1 ? 'request' : 'requests'}`,
  )
  return `${mountName(place.prefix, place.host)} drains: ${held.join(', ')}`
}
