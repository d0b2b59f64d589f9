import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import { has } from '../images/index.ts'
import type { Situation } from './kind.ts'
import { AF_INET, AF_INET6, type Endpoint } from './inet/address.ts'

/** A socket that lives where the restore will be. */
export interface LivingSocket {
  readonly local: Endpoint
  readonly remote: Endpoint
  /** TCP_LISTEN and so on. */
  readonly state: number
}

/** What is in the network namespace of the restore, as /proc tells it. */
export interface Network {
  /** By `PROTOCOL:PORT`. */
  readonly sockets: ReadonlyMap<string, readonly LivingSocket[]>
  /** Names of the interfaces; undefined when they cannot be seen. */
  readonly devices: ReadonlySet<string> | undefined
  /** `PROTOCOL:PORT` of netlink sockets. */
  readonly netlinkPorts: ReadonlySet<string>
}

const tables: readonly (readonly [name: string, protocol: number, family: number])[] = [
  ['tcp', 6, AF_INET],
  ['tcp6', 6, AF_INET6],
  ['udp', 17, AF_INET],
  ['udp6', 17, AF_INET6],
  ['udplite', 136, AF_INET],
  ['udplite6', 136, AF_INET6],
]

/**
 * A namespace is seen through a process that is in it. Where there is none, only sockets could be there whose holders
 * have moved to another: what those have in use is found when it is restored.
 */
export function networkOf({ once, networkNamespace }: Situation): Network {
  return once('network', () => {
    const folder = folderOf(networkNamespace)
    if (folder === undefined) return { sockets: new Map(), devices: undefined, netlinkPorts: new Set() }
    return {
      sockets: socketsIn(folder),
      devices: new Set(linesOf(`${folder}/dev`).flatMap((line) => /^\s*(\S+?):/.exec(line)?.[1] ?? [])),
      netlinkPorts: new Set(rowsOf(`${folder}/netlink`).map((row) => `${row[1]}:${row[2]}`)),
    }
  })
}

/** Whether a socket is in another namespace than the first one that says where it is. */
export function isElsewhere(entry: { readonly nsId: number }, { once, model }: Situation): boolean {
  const first = once('socket namespace', () => {
    for (const { entry: file } of model.files.values()) {
      const socket = file.isk ?? file.psk ?? file.nlsk
      if (socket !== undefined && has(socket, 'nsId')) return socket.nsId
    }
    return undefined
  })
  return has(entry, 'nsId') && entry.nsId !== first
}

function folderOf(namespace: string | undefined): string | undefined {
  if (namespace === undefined) return '/proc/self/net'
  const inode = statSync(namespace, { throwIfNoEntry: false })?.ino
  const isIn = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`) === `net:[${inode}]`
    } catch {
      // It has ended, or is not ours to look at.
      return false
    }
  }
  const inside = ['self', ...readdirSync('/proc').filter((name) => /^\d+$/.test(name))].find(isIn)
  return inside === undefined ? undefined : `/proc/${inside}/net`
}

function socketsIn(folder: string): Map<string, LivingSocket[]> {
  const sockets = new Map<string, LivingSocket[]>()
  for (const [name, protocol, family] of tables) {
    for (const row of rowsOf(`${folder}/${name}`)) {
      const socket = socketOf(row, family)
      const key = `${protocol}:${socket.local.port}`
      const others = sockets.get(key)
      if (others === undefined) sockets.set(key, [socket])
      else others.push(socket)
    }
  }
  return sockets
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(1)
  } catch {
    // A protocol that this kernel does not have.
    return []
  }
}

function rowsOf(path: string): string[][] {
  return linesOf(path)
    .filter((line) => line !== '')
    .map((line) => line.trim().split(/\s+/))
}

function socketOf(row: readonly string[], family: number): LivingSocket {
  const [, local = '', remote = '', state = ''] = row
  return {
    local: endpointOf(local, family),
    remote: endpointOf(remote, family),
    state: parseInt(state, 16),
  }
}

/** `0100007F:4651`: words as they lie in memory, and a port. */
function endpointOf(text: string, family: number): Endpoint {
  const [address = '', port = ''] = text.split(':')
  const words = (address.match(/.{8}/g) ?? []).map((word) => parseInt(word, 16))
  return { family, words, port: parseInt(port, 16) }
}
