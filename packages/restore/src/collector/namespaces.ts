import { readlinkSync } from 'node:fs'
import { binding } from './binding.ts'
import { isSystemError } from './errno.ts'

/** Kinds of namespaces, as /proc/PID/ns names them, in the order in which ours get their ids. */
const kinds = ['pid', 'net', 'ipc', 'uts', 'time', 'mnt', 'user', 'cgroup'] as const

export type NamespaceKind = (typeof kinds)[number]

/** Flags of clone(2). */
export const cloneFlags: Readonly<Record<NamespaceKind, number>> = {
  pid: 0x20000000,
  net: 0x40000000,
  ipc: 0x08000000,
  uts: 0x04000000,
  time: 0x00000080,
  mnt: 0x00020000,
  user: 0x10000000,
  cgroup: 0x02000000,
}

/** Fields of TaskKobjIdsEntry. */
export interface NamespaceIds {
  pidNsId?: number
  netNsId?: number
  ipcNsId?: number
  utsNsId?: number
  timeNsId?: number
  mntNsId?: number
  userNsId?: number
  cgroupNsId?: number
}

/** `net:[4026531840]`, a link of /proc or a file of nsfs. */
export function parseNamespace(link: string): { kind: NamespaceKind; inode: number } | undefined {
  const [, name, inode] = /^(\w+):\[(\d+)\]$/.exec(link) ?? []
  const kind = kinds.find((at) => at === name)
  return kind === undefined ? undefined : { kind, inode: Number(inode) }
}

function linkOf(pid: number | 'self', kind: NamespaceKind): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`)
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined // a kernel without this kind
    throw error
  }
}

/** Ids of namespaces in the images: ours first. */
export class Namespaces {
  readonly #ids = new Map<string, number>()
  readonly #networks = new Map<number, number>()
  readonly own: NamespaceIds

  constructor() {
    this.own = this.idsOf('self')
  }

  idOf(link: string): number {
    let id = this.#ids.get(link)
    if (id === undefined) this.#ids.set(link, (id = this.#ids.size + 1))
    return id
  }

  idsOf(pid: number | 'self'): NamespaceIds {
    const ids: NamespaceIds = {}
    for (const kind of kinds) {
      const link = linkOf(pid, kind)
      if (link !== undefined) ids[`${kind}NsId`] = this.idOf(link)
    }
    return ids
  }

  /** Inode of the network namespace of a socket: that of its holder where the kernel does not tell (EPERM). */
  networkOf(socket: number, holder: number): number {
    const inode = binding.networkNamespace(socket)
    if (inode >= 0) return inode
    let network = this.#networks.get(holder)
    if (network === undefined) {
      network = parseNamespace(linkOf(holder, 'net') ?? '')?.inode ?? 0
      this.#networks.set(holder, network)
    }
    return network
  }

  idOfNetwork(inode: number): number {
    return this.idOf(`net:[${inode}]`)
  }
}
