import { readlinkSync } from 'node:fs'
import { posix } from 'node:path'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { Fd } from '@x/fdpass'
import type { QueuedPacket } from '../images/image-set.ts'
import {
  FdType,
  makeMessage,
  SkPacketEntrySchema,
  type SkShutdown,
  type UnixSkEntrySchema,
} from '../images/messages.ts'
import { binding, type QueuedMessage } from './binding.ts'
import type { Diagnosis, UnixDiagnosis } from './diagnosis.ts'
import { ENOENT, EPERM, textOf } from './errno.ts'
import type { FileList } from './file-list.ts'
import { fileOfSocket } from './file-status.ts'
import type { Findings } from './findings.ts'
import type { Namespaces } from './namespaces.ts'
import { placeOf, titleOf, type OpenFile } from './open-file.ts'
import { nobody, ownerOf } from './owner.ts'
import { numberOption, SO_ERROR, SO_TYPE, socketOptionsOf, SOL_SOCKET } from './socket-options.ts'

type UnixSocket = MessageInitShape<typeof UnixSkEntrySchema> & { id: number; ino: number; peer: number }

/** Ids of the files that came as rights in a message for `holder`. They are the callee's from then on. */
export type InFlight = (rights: readonly Fd[], holder: number) => number[]

/** What a name that is a path has beside it. */
interface SocketFile {
  filePerms?: { mode: number; uid: number; gid: number }
  nameDir?: string
  deleted?: boolean
}

interface Known {
  readonly file: OpenFile
  readonly entry: UnixSocket
  readonly diagnosis: UnixDiagnosis
  readonly others: ReadonlyMap<number, UnixDiagnosis>
}

const SOCK_STREAM = 1
const TCP_LISTEN = 10
const USK_EXTERN = 1
const O_RDWR = 2
const gone = ' (deleted)'
const noOptions = {
  soSndbuf: 0,
  soRcvbuf: 0,
  soSndTmoSec: 0n,
  soSndTmoUsec: 0n,
  soRcvTmoSec: 0n,
  soRcvTmoUsec: 0n,
}

/** Unix sockets, what lies in their queues, and whom they are connected to. */
export class UnixSockets {
  readonly packets: QueuedPacket[] = []
  readonly #files: FileList
  readonly #findings: Findings
  readonly #diagnosis: Diagnosis
  readonly #namespaces: Namespaces
  readonly #inFlight: InFlight
  readonly #external: boolean
  readonly #lossy: boolean
  readonly #known = new Map<number, Known>()
  readonly #externals = new Set<number>()

  constructor(parts: {
    files: FileList
    findings: Findings
    diagnosis: Diagnosis
    namespaces: Namespaces
    inFlight: InFlight
    external: boolean
    lossy: boolean
  }) {
    this.#files = parts.files
    this.#findings = parts.findings
    this.#diagnosis = parts.diagnosis
    this.#namespaces = parts.namespaces
    this.#inFlight = parts.inFlight
    this.#external = parts.external
    this.#lossy = parts.lossy
  }

  add(file: OpenFile): void {
    const { id, number, info, holder } = file
    const ino = Number(file.stats.ino)
    const space = this.#namespaces.networkOf(number, holder)
    const others = this.#diagnosis.unix(number, space)
    const diagnosis = typeof others === 'number' ? undefined : others.get(ino)
    if (typeof others === 'number' || diagnosis === undefined) {
      const why = typeof others === 'number' ? textOf(others) : 'it is not in the list'
      const message = `sock_diag(7) does not tell of ${titleOf(file)}: ${why}; it needs CAP_SYS_ADMIN for another network`
      this.#findings.refuse({ reason: 'not-permitted', ...placeOf(file), message })
      return
    }
    const { options, hasUnreadableFilter } = socketOptionsOf(number)
    if (hasUnreadableFilter) {
      const message = `${titleOf(file)} has a filter of eBPF, which cannot be read`
      this.#findings.lose({ reason: 'socket-filter', ...placeOf(file), message })
    }
    const listens = diagnosis.state === TCP_LISTEN
    const entry: UnixSocket = {
      id,
      ino,
      type: diagnosis.type,
      state: diagnosis.state,
      flags: info.flags,
      uflags: 0,
      // Of one that does not listen this is what nobody has received yet: it tells whose a datagram may be.
      backlog: diagnosis.outgoing,
      peer: diagnosis.peer,
      fown: ownerOf(number),
      opts: options,
      name: diagnosis.name,
      ...(diagnosis.shutdown !== 0 && { shutdown: diagnosis.shutdown as SkShutdown }),
      ...this.#fileOf(file, diagnosis.name),
      nsId: this.#namespaces.idOfNetwork(space),
    }
    this.#files.add({ type: FdType.UNIXSK, id, usk: entry })
    this.#known.set(ino, { file, entry, diagnosis, others })
    if (!listens) this.#readQueue(file)
  }

  /** Looks whom they are connected to, once all are known. */
  finish(): void {
    const waiting = this.#connectWaiting()
    for (const { file, entry, others } of [...this.#known.values()]) {
      if (
        entry.peer === 0 ||
        waiting.has(entry.ino) ||
        this.#known.has(entry.peer) ||
        this.#externals.has(entry.peer)
      )
        continue
      const peer = others.get(entry.peer)
      if (this.#external && peer !== undefined) this.#addExternal(entry.peer, peer)
      else {
        const message =
          `${titleOf(file)} is connected to a socket of no process of the tree: name that one too, ` +
          'or collect with the option external'
        this.#findings.refuse({ reason: 'external-peer', ...placeOf(file), message })
      }
    }
  }

  /** A name that is a path, and the file that it made. */
  #fileOf(file: OpenFile, name: Buffer): SocketFile {
    if (name.length === 0 || name[0] === 0) return {}
    const found = fileOfSocket(file.number)
    if (typeof found === 'number') {
      // A name without a file: the kernel has let go of it, as after a failed bind(2).
      if (found === ENOENT) return {}
      const needs = found === EPERM ? '; it needs CAP_NET_ADMIN' : ''
      const message = `the name of ${titleOf(file)} cannot be followed: ${textOf(found)}${needs}`
      this.#findings.refuse({ reason: 'not-permitted', ...placeOf(file), message })
      return {}
    }
    const { mode, uid, gid, nlink } = found.stats
    const path = withoutMark(found.name, nlink)
    const text = name.toString('utf8').replace(/\0.*$/s, '')
    return {
      filePerms: { mode, uid, gid },
      ...(!text.startsWith('/') && {
        nameDir: folderOf(path, text, readlinkSync(`/proc/${file.holder}/cwd`)),
      }),
      ...(nlink === 0 && { deleted: true }),
    }
  }

  #readQueue(file: OpenFile): void {
    const type = numberOption(file.number, SOL_SOCKET, SO_TYPE) ?? 0
    if (binding.hasError(file.number) === 1 && !this.#passError(file, type)) return
    const messages = binding.socketQueue(file.number, type, Fd.adopter)
    if (typeof messages === 'number') {
      const message = `the queue of ${titleOf(file)} cannot be read: ${textOf(messages)}`
      this.#findings.refuse({ reason: 'unreadable', ...placeOf(file), message })
      return
    }
    // All descriptors have an owner before the first is looked at.
    const owned = messages.map(({ rights }) => Array.from(rights, (number) => Fd.owned(number)))
    try {
      for (const [nth, message] of messages.entries()) this.#addPacket(file, message, owned[nth] ?? [])
    } catch (error) {
      for (const fd of owned.flat()) fd.close()
      throw error
    }
  }

  /** An error that waits has no place in images. False when the queue must not be looked into, for its sake. */
  #passError(file: OpenFile, type: number): boolean {
    const message = `${titleOf(file)} has not been told yet that its peer was closed with something unread: it will be told of the end only`
    const problem = { reason: 'pending-error', ...placeOf(file), message }
    // A stream tells of what is in its queue first.
    if (type === SOCK_STREAM) {
      this.#findings.note(problem)
      return true
    }
    this.#findings.lose(problem)
    if (this.#lossy) numberOption(file.number, SOL_SOCKET, SO_ERROR)
    return this.#lossy
  }

  #addPacket({ id, holder }: OpenFile, { bytes, sender }: QueuedMessage, owned: readonly Fd[]): void {
    const rights = owned.length === 0 ? [] : this.#inFlight(owned, holder)
    const entry = makeMessage(SkPacketEntrySchema, {
      idFor: id,
      length: bytes.length,
      scm: rights.length === 0 ? [] : [{ type: 1, rights }],
      ...(sender.length > 0 && { sender }),
    })
    this.packets.push({ entry, data: bytes })
  }

  /** Connections that wait at a listener carry its inode. */
  #connectWaiting(): ReadonlySet<number> {
    const waiting = new Set<number>()
    for (const { file, entry, diagnosis } of this.#known.values()) {
      if (diagnosis.waiting.length === 0) continue
      const clients = diagnosis.waiting.map((ino) => this.#known.get(ino))
      for (const client of clients) {
        if (client === undefined) {
          const message = `a connection that waits at ${titleOf(file)} comes from no process of the tree`
          this.#findings.lose({ reason: 'pending-connection', ...placeOf(file), message })
          continue
        }
        client.entry.peer = entry.ino
        waiting.add(client.entry.ino)
        if (client.diagnosis.outgoing === 0) continue
        const message = `${titleOf(client.file)} has sent bytes to a connection that nobody has accepted`
        this.#findings.lose({ reason: 'pending-data', ...placeOf(client.file), message })
      }
      this.#files.order(clients.flatMap((client) => (client === undefined ? [] : [client.entry.id])))
    }
    return waiting
  }

  #addExternal(ino: number, { type, state, name }: UnixDiagnosis): void {
    const id = this.#files.newId()
    const entry: UnixSocket = {
      id,
      ino,
      type,
      state,
      flags: O_RDWR,
      uflags: USK_EXTERN,
      backlog: 0,
      peer: 0,
      fown: nobody,
      opts: noOptions,
      name,
    }
    this.#files.add({ type: FdType.UNIXSK, id, usk: entry })
    this.#externals.add(ino)
  }
}

const withoutMark = (path: string, links: number): string =>
  links === 0 && path.endsWith(gone) ? path.slice(0, -gone.length) : path

/**
 * What a relative name was relative to, from the path that it leads to: the working directory where that fits, and where
 * nothing does.
 */
function folderOf(path: string, name: string, workingDirectory: string): string {
  if (posix.resolve(workingDirectory, name) === path) return workingDirectory
  const plain = name.replace(/^(?:\.\/+)+/, '')
  return path.endsWith(`/${plain}`) ? path.slice(0, -plain.length - 1) || '/' : workingDirectory
}
