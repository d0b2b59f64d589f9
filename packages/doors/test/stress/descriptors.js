import { readdirSync, readlinkSync } from 'node:fs'

/** All that doors and calls have. Others are a thread’s own: of its loop, its queues, the modules that it imports. */
const isOfDoors = (kind) => kind === 'socket' || kind.startsWith('/memfd:') || kind.includes('doors-stress')

/** How many descriptors a process has of each kind: sockets, memory files and names by their paths. */
export function descriptorsOf(pid) {
  const kinds = {}
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    const kind = kindOf(`/proc/${pid}/fd/${name}`)
    if (kind !== undefined && isOfDoors(kind)) kinds[kind] = (kinds[kind] ?? 0) + 1
  }
  return kinds
}

function kindOf(link) {
  try {
    return readlinkSync(link)
      .replace(/:\[\d+\]$/, '')
      .replace(/ \(deleted\)$/, '')
  } catch {
    // It was closed meanwhile.
    return undefined
  }
}

/** In MiB. */
export const residentOf = (status) => Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)[1]) / 1024)
