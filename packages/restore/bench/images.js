// Images of the scenarios: what CRIU writes of such a tree, as far as descriptors go.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  EventfdFileEntrySchema,
  EventpollFileEntrySchema,
  EventpollTfdEntrySchema,
  FdinfoEntrySchema,
  FdType,
  FileEntrySchema,
  FownEntrySchema,
  FsEntrySchema,
  InventoryEntrySchema,
  makeMessage,
  PipeDataEntrySchema,
  PipeEntrySchema,
  PstreeEntrySchema,
  RegFileEntrySchema,
  SkOptsEntrySchema,
  TaskKobjIdsEntrySchema,
  UnixSkEntrySchema,
} from '../dist/images/index.js'

/** Numbers from here on are the scenario's. */
const FIRST = 10
/** Names that the regular files have: some have the same one, as in a real tree. */
const NAMES = 200
const INODE = 6_000_000
const O_RDONLY = 0
const O_WRONLY = 1
const O_RDWR = 2
const O_LARGEFILE = 0o100000
const EPOLLET_IN_ERR_HUP = 0x8000_0019
const FIRST_PID = 100_000

const fown = makeMessage(FownEntrySchema, { uid: 0, euid: 0, signum: 0, pidType: 0, pid: 0 })
const opts = makeMessage(SkOptsEntrySchema, {
  soSndbuf: 212992,
  soRcvbuf: 212992,
  soSndTmoSec: 0n,
  soSndTmoUsec: 0n,
  soRcvTmoSec: 0n,
  soRcvTmoUsec: 0n,
  reuseaddr: false,
  soPriority: 0,
  soRcvlowat: 1,
  soPasscred: false,
  soPasssec: false,
  soDontroute: false,
  soNoCheck: false,
  soReuseport: false,
  soBroadcast: false,
  soKeepalive: false,
  soOobinline: 0,
  soBufLock: 0,
})

/** The files of a tree, numbered as they come. */
class Files {
  entries = []
  /** What waits in pipes: nothing, but they say their size. */
  pipes = []
  #folder

  /** Names are in this folder. */
  constructor(folder) {
    this.#folder = folder
  }

  named(name, more = {}) {
    const rest = { flags: O_RDWR | O_LARGEFILE, pos: 0n, fown, name, ...more }
    return this.#add(FdType.REG, (id) => ({ reg: makeMessage(RegFileEntrySchema, { id, ...rest }) }))
  }

  /** So many of a kind; their ids. */
  make(kind, count) {
    const ids = []
    while (ids.length < count) ids.push(...this.#next[kind](ids.length, count))
    return ids
  }

  #next = {
    files: (index) => [
      this.named(nameIn(this.#folder, index), { pos: BigInt(index), size: 0n, mode: 0o100600 }),
    ],
    null: () => [this.named('/dev/null')],
    pipes: () => {
      const pipeId = INODE + this.entries.length
      const entry = makeMessage(PipeDataEntrySchema, { pipeId, bytes: 0, size: 65536 })
      this.pipes.push({ entry, data: new Uint8Array() })
      return [O_RDONLY, O_WRONLY].map((flags) =>
        this.#add(FdType.PIPE, (id) => ({ pipe: makeMessage(PipeEntrySchema, { id, pipeId, flags, fown }) })),
      )
    },
    sockets: () => {
      const ino = INODE + this.entries.length
      return [this.#socket(ino, ino + 1), this.#socket(ino + 1, ino)]
    },
    epoll: (index, count) => [index === 0 ? this.#epoll(count - 1) : this.#eventfd()],
  }

  #socket(ino, peer) {
    const rest = { type: 1, state: 1, flags: O_RDWR, uflags: 0, backlog: 0, name: new Uint8Array() }
    return this.#add(FdType.UNIXSK, (id) => ({
      usk: makeMessage(UnixSkEntrySchema, { id, ino, peer, fown, opts, ...rest }),
    }))
  }

  #eventfd() {
    return this.#add(FdType.EVENTFD, (id) => ({
      efd: makeMessage(EventfdFileEntrySchema, { id, flags: O_RDWR, fown, counter: 0n }),
    }))
  }

  /** It watches the numbers behind its own. */
  #epoll(count) {
    const tfd = Array.from({ length: count }, (_, index) =>
      makeMessage(EventpollTfdEntrySchema, {
        id: 0,
        tfd: FIRST + 1 + index,
        events: EPOLLET_IN_ERR_HUP,
        data: BigInt(FIRST + 1 + index),
      }),
    )
    return this.#add(FdType.EVENTPOLL, (id) => ({
      epfd: makeMessage(EventpollFileEntrySchema, { id, flags: O_RDWR, fown, tfd }),
    }))
  }

  /** Its id. */
  #add(type, make) {
    const id = this.entries.length + 1
    this.entries.push(makeMessage(FileEntrySchema, { type, id, ...make(id) }))
    return id
  }
}

const nameIn = (folder, index) => join(folder, `f${index % NAMES}`)

/** Makes the files that the images name, in a folder that mkdtemp has made. */
export const makeFiles = (folder) => {
  for (let index = 0; index < NAMES; index++) writeFileSync(nameIn(folder, index), '', { mode: 0o600 })
}

const fdinfo = (files, held) =>
  [...held].map(([fd, id]) =>
    makeMessage(FdinfoEntrySchema, { fd, id, flags: 0, type: files.entries[id - 1].type }),
  )

/** Everything that the images say of one process. */
const taskOf = (pid, files, folder) => ({
  pstree: makeMessage(PstreeEntrySchema, {
    pid,
    ppid: pid === FIRST_PID ? 0 : FIRST_PID,
    pgid: FIRST_PID,
    sid: FIRST_PID,
    threads: [pid],
  }),
  ids: makeMessage(TaskKobjIdsEntrySchema, { vmId: pid, filesId: pid, fsId: pid, sighandId: pid }),
  fs: makeMessage(FsEntrySchema, {
    cwdId: files.named(folder, { flags: 0, mode: 0o040700 }),
    rootId: files.named('/', { flags: 0 }),
    umask: 0o022,
  }),
  table: pid,
})

/**
 * The images of a scenario, whose regular files are in the folder.
 * @param {import('./scenarios.js').Scenario} scenario
 * @param {string} folder
 */
export const imagesOf = ({ kind, processes, own, shared }, folder) => {
  const files = new Files(folder)
  const [standard] = files.make('null', 1)
  const common = files.make('files', shared)
  const tasks = []
  const tables = new Map()
  for (let pid = FIRST_PID; pid < FIRST_PID + processes; pid++) {
    const ids = [...common, ...files.make(kind, own)]
    const held = [...[0, 1, 2].map((fd) => [fd, standard]), ...ids.map((id, index) => [FIRST + index, id])]
    tables.set(pid, fdinfo(files, held))
    tasks.push(taskOf(pid, files, folder))
  }
  return {
    inventory: makeMessage(InventoryEntrySchema, { imgVersion: 2, fdinfoPerId: true }),
    tasks,
    tables,
    files: files.entries,
    remaps: [],
    ghosts: new Map(),
    pipes: files.pipes,
    fifos: [],
    packets: [],
    streams: new Map(),
    ttys: [],
    ttyData: [],
    memfds: [],
    locks: [],
    present: [],
    missing: [],
  }
}
