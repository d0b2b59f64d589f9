import { constants } from 'node:fs'
import { FdType } from '../images/messages.ts'
import type { Diagnosis } from './diagnosis.ts'
import { majorOf } from './device-number.ts'
import { EpollFiles } from './epoll.ts'
import { eventfd, pidfd, pidOf, signalfd, timerfd } from './event-files.ts'
import type { FileInit, FileList } from './file-list.ts'
import type { Findings } from './findings.ts'
import { InetSockets } from './inet-sockets.ts'
import { MemoryFiles } from './memory-files.ts'
import { cloneFlags, parseNamespace, type Namespaces } from './namespaces.ts'
import { O_PATH, pathOf, placeOf, titleOf, type OpenFile } from './open-file.ts'
import type { Settings } from './options.ts'
import { netlinkSocket, packetSocket } from './other-sockets.ts'
import { nobody, ownerOf } from './owner.ts'
import { Pipes } from './pipes.ts'
import { RegularFiles } from './regular-files.ts'
import { numberOption, SO_DOMAIN, SOL_SOCKET } from './socket-options.ts'
import { isTerminal, Terminals } from './terminals.ts'
import type { Trees } from './trees.ts'
import { UnixSockets, type InFlight } from './unix-sockets.ts'
import { Watches, type Candidates } from './watches.ts'

const { S_IFMT, S_IFSOCK, S_IFIFO, S_IFCHR } = constants
const AF_UNIX = 1
const AF_INET = 2
const AF_INET6 = 10
const AF_NETLINK = 16
const AF_PACKET = 17
const MEM_MAJOR = 1
const PIDFD_THREAD = 0o200

export interface KindParts {
  readonly files: FileList
  readonly findings: Findings
  readonly settings: Settings
  readonly diagnosis: Diagnosis
  readonly namespaces: Namespaces
  readonly trees: Trees
  readonly inFlight: InFlight
  readonly candidates: Candidates
}

/** What is known of open file descriptions, kind by kind. */
export class Kinds {
  readonly regular: RegularFiles
  readonly pipes: Pipes
  readonly unix: UnixSockets
  readonly inet: InetSockets
  readonly epoll: EpollFiles
  readonly memory: MemoryFiles
  readonly terminals: Terminals
  readonly #watches: Watches
  readonly #parts: KindParts

  constructor(parts: KindParts) {
    const { files, findings, settings, trees } = parts
    this.#parts = parts
    this.regular = new RegularFiles(files, findings, settings.contentLimit)
    this.pipes = new Pipes(files, findings, this.regular)
    this.unix = new UnixSockets({ ...parts, external: settings.external, lossy: settings.lossy })
    this.inet = new InetSockets({ ...parts, stands: settings.freeze })
    this.epoll = new EpollFiles(files, findings)
    this.memory = new MemoryFiles(files, findings, settings.contentLimit)
    this.terminals = new Terminals({
      files,
      findings,
      regular: this.regular,
      processes: trees.all,
      stands: settings.freeze,
    })
    this.#watches = new Watches(findings, parts.candidates)
  }

  /** Adds a file, or finds that it cannot be had. Returns its type in the images; undefined for one that is none. */
  add(file: OpenFile): FdType | undefined {
    const { link, info } = file
    if ((info.flags & O_PATH) !== 0) return this.#addRegular(file)
    if (link.startsWith('anon_inode:') || link.startsWith('pidfd:')) return this.#addAnonymous(file)
    const namespace = parseNamespace(link)
    if (namespace !== undefined) {
      const nsCflag = cloneFlags[namespace.kind]
      const nsId = this.#parts.namespaces.idOf(link)
      return this.#put({
        type: FdType.NS,
        id: file.id,
        nsf: { id: file.id, nsId, nsCflag, flags: info.flags },
      })
    }
    return this.#addByMode(file)
  }

  #put(entry: FileInit): FdType {
    this.#parts.files.add(entry)
    return entry.type as FdType
  }

  #addByMode(file: OpenFile): FdType | undefined {
    const { link, stats } = file
    switch (stats.mode & S_IFMT) {
      case S_IFSOCK:
        return this.#addSocket(file)
      case S_IFIFO:
        if (link.startsWith('pipe:')) this.pipes.addPipe(file)
        else this.pipes.addFifo(file)
        return link.startsWith('pipe:') ? FdType.PIPE : FdType.FIFO
      case S_IFCHR:
        return this.#addDevice(file)
      default:
        if (!link.startsWith('/memfd:')) return this.#addRegular(file)
        this.memory.add(file)
        return FdType.MEMFD
    }
  }

  #addRegular(file: OpenFile): FdType | undefined {
    const { id, link, stats, info, number, holder } = file
    if (!link.startsWith('/') || link.startsWith('/memfd:')) return this.#refuse(file)
    const { flags, position } = info
    const fown = (flags & O_PATH) === 0 ? ownerOf(number) : nobody
    this.regular.add({
      id,
      link,
      stats,
      at: pathOf(file),
      holder,
      flags,
      position,
      fown,
      place: placeOf(file),
    })
    return FdType.REG
  }

  #addDevice(file: OpenFile): FdType | undefined {
    if (isTerminal(file.stats.rdev)) {
      this.terminals.add(file)
      return FdType.TTY
    }
    return majorOf(file.stats.rdev) === MEM_MAJOR ? this.#addRegular(file) : this.#refuse(file)
  }

  #addSocket(file: OpenFile): FdType | undefined {
    switch (numberOption(file.number, SOL_SOCKET, SO_DOMAIN)) {
      case AF_UNIX:
        this.unix.add(file)
        return FdType.UNIXSK
      case AF_INET:
      case AF_INET6:
        this.inet.add(file)
        return FdType.INETSK
      case AF_NETLINK:
        return this.#put(netlinkSocket(file, this.#parts))
      case AF_PACKET:
        return this.#put(packetSocket(file, this.#parts))
      case undefined:
      default:
        return this.#refuse(file)
    }
  }

  #addAnonymous(file: OpenFile): FdType | undefined {
    const name = file.link.startsWith('pidfd:')
      ? 'pidfd'
      : file.link.slice('anon_inode:'.length).replace(/^\[|\]$/g, '')
    switch (name) {
      case 'eventfd':
        return this.#put(eventfd(file))
      case 'signalfd':
        return this.#put(signalfd(file))
      case 'timerfd':
        return this.#put(timerfd(file))
      case 'inotify':
        return this.#put(this.#watches.inotify(file))
      case 'fanotify':
        return this.#put(this.#watches.fanotify(file))
      case 'pidfd':
        return this.#addPidfd(file)
      case 'eventpoll':
        this.epoll.add(file)
        return FdType.EVENTPOLL
      default:
        return this.#refuse(file)
    }
  }

  #addPidfd(file: OpenFile): FdType | undefined {
    const pid = pidOf(file.info)
    if ((file.info.flags & PIDFD_THREAD) !== 0) return this.#refuse(file)
    if (pid !== -1 && !this.#parts.trees.has(pid)) {
      const message = `${titleOf(file)} is of process ${pid}, which is in none of the trees`
      this.#parts.findings.refuse({ reason: 'external-pidfd', ...placeOf(file), message })
    }
    return this.#put(pidfd(file))
  }

  #refuse(file: OpenFile): FdType | undefined {
    const message = `${titleOf(file)} is of a kind that images cannot have: ${file.link}`
    this.#parts.findings.refuse({ reason: 'unsupported-kind', ...placeOf(file), message })
    return undefined
  }
}
