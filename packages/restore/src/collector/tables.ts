import { readdirSync } from 'node:fs'
import { type Fd, FdPassError, pidfdGetfd } from '@x/fdpass'
import { FdinfoEntrySchema, type FdinfoEntry, type FdType, makeMessage } from '../images/messages.ts'
import { isSystemError } from './errno.ts'
import type { FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { Locks } from './locks.ts'
import { lookAt, type Descriptor, type OpenFile } from './open-file.ts'
import { Sharing } from './sharing.ts'

const FD_CLOEXEC = 1
const nothing: ReadonlyMap<number, Descriptor> = new Map()

/** What takes a file, and returns its type. */
export type Adds = (file: OpenFile) => FdType | undefined

/** Tables of descriptors, and the files that are in flight between them. */
export class Tables implements Disposable {
  /** By files id. */
  readonly entries: Map<number, FdinfoEntry[]> = new Map<number, FdinfoEntry[]>()
  readonly locks: Locks = new Locks()
  readonly #files: FileList
  readonly #findings: Findings
  readonly #add: Adds
  readonly #sharing = new Sharing<number>()
  readonly #types = new Map<number, FdType>()
  readonly #holders = new Map<number, Descriptor[]>()
  /** By pid; processes that share a table have the same. */
  readonly #byPid = new Map<number, ReadonlyMap<number, Descriptor>>()
  readonly #byTable = new Map<number, ReadonlyMap<number, Descriptor>>()
  readonly #inFlight: Fd[] = []

  constructor(files: FileList, findings: Findings, add: Adds) {
    this.#files = files
    this.#findings = findings
    this.#add = add
  }

  [Symbol.dispose](): void {
    for (const fd of this.#inFlight.splice(0)) fd.close()
  }

  /** Reads the table of a process, unless one that shares it has been read. `pidfd` is borrowed. */
  read(pid: number, pidfd: Fd, table: number): void {
    const known = this.#byTable.get(table)
    const descriptors = known ?? this.#descriptorsOf(pid)
    this.#byPid.set(pid, descriptors)
    if (known !== undefined) return
    this.#byTable.set(table, descriptors)
    const entries: FdinfoEntry[] = []
    for (const descriptor of descriptors.values()) {
      const entry = this.#entryOf(descriptor, pidfd)
      if (entry !== undefined) entries.push(entry)
    }
    this.entries.set(table, entries)
  }

  tableOf(pid: number): ReadonlyMap<number, Descriptor> {
    return this.#byPid.get(pid) ?? nothing
  }

  holdersOf(file: number): readonly Descriptor[] {
    return this.#holders.get(file) ?? []
  }

  /** All descriptors of all tables. */
  *all(): Generator<Descriptor> {
    for (const table of this.#byTable.values()) yield* table.values()
  }

  /** Ids of files that came as rights, which are this object's from now on. */
  takeInFlight(rights: readonly Fd[], holder: number): number[] {
    return rights.map((fd) => {
      const own = lookAt(process.pid, fd.fd)
      if (own === undefined)
        throw new Error(`descriptor ${fd.fd} of this process has been closed by somebody else`)
      const { value: id, isNew } = this.#sharing.of(own, () => this.#files.newId())
      if (!isNew) {
        fd.close()
        return id
      }
      // kcmp(2) knows the file by this number from now on.
      this.#inFlight.push(fd)
      this.#addFile({ ...own, id, number: fd.fd, holder })
      return id
    })
  }

  #descriptorsOf(pid: number): ReadonlyMap<number, Descriptor> {
    const descriptors = new Map<number, Descriptor>()
    try {
      const numbers = readdirSync(`/proc/${pid}/fd`)
        .map(Number)
        .sort((a, b) => a - b)
      for (const fd of numbers) {
        const descriptor = lookAt(pid, fd)
        if (descriptor !== undefined) descriptors.set(fd, descriptor)
      }
    } catch (error) {
      if (!isSystemError(error, 'EACCES', 'EPERM', 'ENOENT')) throw error
      const message = `the descriptors of process ${pid} cannot be seen: ${(error as Error).message}`
      this.#findings.refuse({ reason: 'not-permitted', pid, message: `${message}; it needs CAP_SYS_PTRACE` })
    }
    return descriptors
  }

  #entryOf(descriptor: Descriptor, pidfd: Fd): FdinfoEntry | undefined {
    const { fd, info } = descriptor
    const { value: id, isNew } = this.#sharing.of(descriptor, () => this.#files.newId())
    if (isNew) this.#open(descriptor, id, pidfd)
    const type = this.#types.get(id)
    if (type === undefined) return undefined
    const holders = this.#holders.get(id)
    if (holders === undefined) this.#holders.set(id, [descriptor])
    else holders.push(descriptor)
    if (info.lines.length > 0) this.locks.add(descriptor, id)
    return makeMessage(FdinfoEntrySchema, { id, flags: info.cloexec ? FD_CLOEXEC : 0, type, fd })
  }

  #open(descriptor: Descriptor, id: number, pidfd: Fd): void {
    const { pid, fd } = descriptor
    let own: Fd
    try {
      own = pidfdGetfd(pidfd, fd)
    } catch (error) {
      if (!(error instanceof FdPassError)) throw error
      const reason = error.code === 'EPERM' ? 'not-permitted' : 'unreadable'
      const needs = error.code === 'EPERM' ? '; it needs CAP_SYS_PTRACE' : ''
      const message = `descriptor ${fd} of process ${pid} cannot be had: ${error.message}${needs}`
      this.#findings.refuse({ reason, pid, fd, message })
      return
    }
    try {
      this.#addFile({ ...descriptor, id, number: own.fd, holder: pid })
    } finally {
      own.close()
    }
  }

  #addFile(file: OpenFile): void {
    const type = this.#add(file)
    if (type !== undefined) this.#types.set(file.id, type)
  }
}
