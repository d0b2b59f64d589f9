import { randomUUID } from 'node:crypto'
import { type Fd, pidfdGetfd } from '@x/fdpass'
import { RestoreError, type Problem } from '../errors.ts'
import type { ImageSet, TaskImages } from '../images/image-set.ts'
import {
  FsEntrySchema,
  InventoryEntrySchema,
  LsmType,
  makeMessage,
  TaskKobjIdsEntrySchema,
  type FsEntry,
  type TaskKobjIdsEntry,
} from '../images/messages.ts'
import { Diagnosis } from './diagnosis.ts'
import { isSystemError } from './errno.ts'
import { FileList } from './file-list.ts'
import { Findings } from './findings.ts'
import { Frozen } from './freeze.ts'
import { Kinds } from './kinds.ts'
import { Namespaces } from './namespaces.ts'
import type { OpenFile } from './open-file.ts'
import { settingsOf, type CollectOptions, type Settings } from './options.ts'
import { isDead, threadsOf, type ProcessStatus } from './process-status.ts'
import { compare, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_VM, SharedObjects } from './sharing.ts'
import { Tables } from './tables.ts'
import { coreOf, memoryOf, pstreeOf, statusLines } from './task-images.ts'

/** Our own objects have the id 1. */
const firstId = 2

/**
 * Makes images of the descriptors of living processes, of the named ones and of all that descend from them: for
 * {@link writeImages}, or to plan a restore from. The processes stand still meanwhile (see `stop`), and are afterwards as
 * they were; so are their pipes, sockets and terminals. While a tree is looked at, this thread does nothing else.
 * A TCP connection must be no process's outside of the trees: what that one asks of it meanwhile fails.
 *
 * It needs the rights of ptrace(2) on the processes; and CAP_NET_ADMIN for names of Unix sockets and for TCP connections,
 * CAP_SYS_ADMIN for other network namespaces and for what is typed into terminals, CAP_DAC_READ_SEARCH for watched files.
 *
 * Throws RestoreError with all its {@link Problem}s, and then nothing is given. `reason` is
 * - `bad-option`, `bad-pid`, `no-process`, `named-twice` (trees overlap), `self`, `kernel-thread`, `zombie`;
 * - `not-stopped`, `not-permitted`, `unreadable` (the system refuses it), `busy` (a connection that does not rest),
 *   `too-large` (see `contentLimit`);
 * - `unsupported-kind`, `thread-table`, `dead-proc`, `unreachable` and `not-text` (names), `external-peer` (see `external`), `external-pidfd`;
 * - and what `lossy` would leave out: `queue`, `pending-connection`, `pending-data`, `pending-error`, `packet-pipe`, `corked`,
 *   `socket-filter`, `lost-watch`, `unsupported-mark`.
 */
export async function collect(pids: readonly number[], options: CollectOptions = {}): Promise<ImageSet> {
  const settings = settingsOf(options)
  checkPids(pids)
  const findings = new Findings(settings.lossy, settings.onWarning)
  const frozen = await Frozen.from(pids, settings)
  const collection = new Collection(frozen, settings, findings)
  try {
    collection.look()
  } finally {
    collection[Symbol.dispose]()
    frozen[Symbol.dispose]()
  }
  findings.check()
  return collection.images()
}

function checkPids(pids: readonly number[]): void {
  const bad = pids.filter((pid) => !Number.isInteger(pid) || pid <= 0 || pid > 0x7fffffff)
  const problems = bad.map((pid) => ({ reason: 'bad-pid', message: `${pid} is no number of a process` }))
  if (pids.length === 0)
    problems.push({ reason: 'bad-pid', message: 'name the process at least that is to be collected' })
  if (problems.length > 0) throw new RestoreError(problems)
}

/** Why a file of /proc/PID could not be read; throws what is no error of that kind. */
function problemOf(error: unknown, pid: number): Problem {
  if (isSystemError(error, 'ENOENT', 'ESRCH')) {
    return { reason: 'no-process', pid, message: `process ${pid} has ended meanwhile` }
  }
  if (!isSystemError(error, 'EACCES', 'EPERM')) throw error
  const message = `process ${pid} may not be looked at: ${(error as Error).message}; it needs CAP_SYS_PTRACE`
  return { reason: 'not-permitted', pid, message }
}

class Collection implements Disposable {
  readonly #frozen: Frozen
  readonly #findings: Findings
  readonly #files = new FileList()
  readonly #namespaces = new Namespaces()
  readonly #kinds: Kinds
  readonly #tables: Tables
  readonly #tasks: TaskImages[] = []
  readonly #shared = {
    vmId: new SharedObjects(KCMP_VM, firstId),
    filesId: new SharedObjects(KCMP_FILES, firstId),
    fsId: new SharedObjects(KCMP_FS, firstId),
    sighandId: new SharedObjects(KCMP_SIGHAND, firstId),
  }

  constructor(frozen: Frozen, settings: Settings, findings: Findings) {
    this.#frozen = frozen
    this.#findings = findings
    this.#tables = new Tables(this.#files, findings, (file) => this.#kinds.add(file))
    this.#kinds = new Kinds({
      files: this.#files,
      findings,
      settings,
      diagnosis: new Diagnosis(),
      namespaces: this.#namespaces,
      trees: frozen.trees,
      inFlight: (rights, holder) => this.#tables.takeInFlight(rights, holder),
      candidates: () => this.#paths(),
    })
  }

  [Symbol.dispose](): void {
    this.#tables[Symbol.dispose]()
  }

  /** All that has to be done while the processes stand. */
  look(): void {
    for (const status of this.#frozen.trees.members) {
      try {
        this.#tasks.push(this.#lookAt(status))
      } catch (error) {
        this.#findings.refuse(problemOf(error, status.pid))
      }
    }
    const { unix, epoll, terminals, regular } = this.#kinds
    unix.finish()
    epoll.finish(
      (pid) => this.#tables.tableOf(pid),
      (file) => this.#tables.holdersOf(file),
    )
    terminals.finish((file, use) => {
      this.#withNumber(file, use)
    })
    regular.finish()
  }

  images(): ImageSet {
    const { pipes, regular, unix, inet, terminals, memory } = this.#kinds
    const rootIds = { vmId: 1, filesId: 1, fsId: 1, sighandId: 1, ...this.#namespaces.own }
    return {
      inventory: makeMessage(InventoryEntrySchema, {
        imgVersion: 2,
        fdinfoPerId: true,
        rootIds,
        nsPerId: true,
        lsmtype: LsmType.NO_LSM,
        dumpCriuRunId: randomUUID(),
      }),
      tasks: this.#tasks,
      tables: this.#tables.entries,
      files: this.#files.messages(),
      remaps: regular.remaps,
      ghosts: regular.ghosts,
      pipes: pipes.pipes,
      fifos: pipes.fifos,
      packets: unix.packets,
      streams: inet.streams,
      ttys: terminals.ttys,
      ttyData: terminals.data,
      memfds: memory.memfds,
      locks: this.#tables.locks.entries,
      present: [],
      missing: [],
    }
  }

  #lookAt(status: ProcessStatus): TaskImages {
    const { pid } = status
    const pstree = pstreeOf(status, this.#frozen.trees.parentOf(status))
    const pidfd = this.#frozen.pidfds.get(pid)
    if (isDead(status) || pidfd === undefined) return { pstree, core: coreOf(status, undefined, false) }
    this.#checkThreads(pid)
    const ids = this.#idsOf(pid)
    const exe = this.#kinds.regular.addLink(pid, 'exe')
    this.#tables.read(pid, pidfd, ids.filesId)
    return {
      pstree,
      ids,
      core: coreOf(status, ids, this.#frozen.wasStopped(pid)),
      fs: this.#fsOf(pid),
      mm: memoryOf(status, exe),
      table: ids.filesId,
    }
  }

  #idsOf(pid: number): TaskKobjIdsEntry {
    const { vmId, filesId, fsId, sighandId } = this.#shared
    return makeMessage(TaskKobjIdsEntrySchema, {
      vmId: vmId.idOf(pid),
      filesId: filesId.idOf(pid),
      fsId: fsId.idOf(pid),
      sighandId: sighandId.idOf(pid),
      ...this.#namespaces.idsOf(pid),
    })
  }

  #fsOf(pid: number): FsEntry {
    const cwdId = this.#kinds.regular.addLink(pid, 'cwd')
    const rootId = this.#kinds.regular.addLink(pid, 'root')
    const umask = Number.parseInt(statusLines(pid).get('Umask') ?? '022', 8)
    return makeMessage(FsEntrySchema, { cwdId, rootId, umask })
  }

  // Images have one table, and one working directory, for a process.
  #checkThreads(pid: number): void {
    for (const thread of threadsOf(pid)) {
      if (thread === pid) continue
      if (compare(pid, thread, KCMP_FILES) === 0 && compare(pid, thread, KCMP_FS) === 0) continue
      const message = `thread ${thread} of process ${pid} has a table or a working directory of its own`
      this.#findings.refuse({ reason: 'thread-table', pid, message })
    }
  }

  #withNumber({ pid, fd, number, holder }: OpenFile, use: (number: number) => void): void {
    const pidfd: Fd | undefined = holder === pid ? this.#frozen.pidfds.get(pid) : undefined
    if (pidfd === undefined) {
      use(number)
      return
    }
    const own = pidfdGetfd(pidfd, fd)
    try {
      use(own.fd)
    } finally {
      own.close()
    }
  }

  /** Paths that are known, and the folders that they are in. */
  *#paths(): Generator<string> {
    for (const { link, pid } of this.#tables.all()) {
      if (!link.startsWith('/')) continue
      yield link
      yield link.slice(0, link.lastIndexOf('/')) || '/'
      yield `/proc/${pid}/cwd`
    }
  }
}
