import {
  constants,
  existsSync,
  linkSync,
  lstatSync,
  unlinkSync,
  watch,
  accessSync,
  chmodSync,
  chownSync,
  type FSWatcher,
} from 'node:fs'
import { resolve } from 'node:path'
import { Fd, FdSocket, listen, type FdListener } from '@x/fdpass'
import { binding } from './binding.ts'
import { checkFields, DoorError, E, errnoOf, invalid } from './errors.ts'
import { hiddenPath, repair } from './repair.ts'

/** How a name is attached. */
export interface AttachOptions {
  /** Permissions of a path that is made; the umask decides, unless told. One that exists keeps its own. */
  mode?: number | undefined
  /** Takes a name over whose server has crashed (see `repair`), instead of EBUSY. */
  reclaim?: boolean | undefined
}

const O_PATH = 0o10000000
const SHUT_RD = 0
/** Milliseconds. */
const FULL_TABLE_PAUSE = 10

interface Name {
  readonly path: string
  /** Where the file is that had the path before. */
  readonly covered: string | undefined
}

const socketThere = 'a socket has this path; if its server has crashed, attach with { reclaim: true }'

/** Throws DoorError EINVAL. */
function checkAttach(options: AttachOptions): { mode: number | undefined; reclaim: boolean } {
  checkFields(options, ['mode', 'reclaim'], 'fattach')
  const { mode, reclaim = false } = options
  if (mode !== undefined && (!Number.isInteger(mode) || mode < 0 || mode > 0o777))
    throw invalid('fattach', 'mode is 0 to 0o777')
  if (typeof reclaim !== 'boolean') throw invalid('fattach', 'reclaim is true or false')
  return { mode, reclaim }
}

const isAbstract = (path: string): boolean => path.startsWith('\0')

/** The socket behind the names. It ends when it has none any more, and not before all who came by one are let in. */
class Entrance {
  readonly #listener: FdListener
  readonly #inode: Fd | undefined
  readonly #watcher: FSWatcher | undefined
  readonly #over = new AbortController()

  /** `ended` is called when nobody can come any more. */
  constructor(
    path: string,
    mode: number | undefined,
    opened: (socket: FdSocket) => void,
    looked: () => void,
    ended: () => void,
  ) {
    this.#listener = listen(path, {
      type: 'seqpacket',
      unlink: false,
      ...(mode === undefined ? {} : { mode }),
    })
    if (!isAbstract(path)) {
      try {
        this.#inode = Fd.open(path, O_PATH | constants.O_NOFOLLOW)
        // inotify(7) on the inode itself: each change of its names is one of its attributes.
        this.#watcher = watch(`/proc/self/fd/${this.#inode.fd}`, { persistent: false }, looked)
        this.#watcher.on('error', () => undefined)
      } catch (error) {
        this.#inode?.close()
        this.#listener.close()
        unlinkSync(path)
        throw error
      }
    }
    void this.#accept(opened).then(() => {
      this.#watcher?.close()
      this.#inode?.close()
      this.#listener.close()
      ended()
    })
  }

  /** How many names it has. */
  get names(): number {
    return this.#inode?.stat().nlink ?? 1
  }

  /** A further name. */
  link(path: string): number {
    return this.#inode === undefined ? E.EINVAL : binding.link(this.#inode.fd, path)
  }

  has(path: string): boolean {
    const status = lstatSync(path, { bigint: true, throwIfNoEntry: false })
    return status?.isSocket() === true && status.ino === BigInt(this.#inode?.stat().ino ?? -1)
  }

  /** Who has connected is let in, and nobody after that: shutdown(2) before the last accept(2). */
  end(): void {
    if (this.#over.signal.aborted) return
    binding.shutdown(this.#listener.fd, SHUT_RD)
    this.#over.abort()
  }

  /** Lets in who waits, without a turn of the event loop. Nobody is left after it, or the table is full. */
  letIn(opened: (socket: FdSocket) => void): void {
    for (;;) {
      const socket = binding.accept(this.#listener.fd)
      if (socket < 0) return
      opened(FdSocket.from(socket, {}))
    }
  }

  ref(on: boolean): void {
    if (on) this.#listener.ref()
    else this.#listener.unref()
  }

  async #accept(opened: (socket: FdSocket) => void): Promise<void> {
    const over = (): boolean => this.#over.signal.aborted
    while (!over()) {
      try {
        opened(await this.#listener.accept({ signal: this.#over.signal }))
      } catch {
        // A full table: the connection waits in the kernel.
        if (!over()) await new Promise((resolved) => setTimeout(resolved, FULL_TABLE_PAUSE))
      }
    }
    this.letIn(opened)
  }
}

/**
 * The names of one door: paths of one socket. They are counted by its inode, so that whatever anybody does with them
 * counts: rm, ln, or mv of another file over one.
 */
export class Names {
  readonly #opened: (socket: FdSocket) => void
  readonly #changed: () => void
  readonly #ending = new Set<Entrance>()
  #names: Name[] = []
  #entrance: Entrance | undefined
  #referenced = true

  /** `opened` gets what has opened the door by a name; `changed` is called when the number of names may be another. */
  constructor(opened: (socket: FdSocket) => void, changed: () => void) {
    this.#opened = opened
    this.#changed = changed
  }

  /**
   * How many names there are now. An entrance is one reference until it has let in all who came by it, also while it has
   * no name any more: otherwise a door would be unreferenced, have opens, and be unreferenced again for one loss.
   */
  get count(): number {
    const names = this.#entrance === undefined ? 0 : Math.max(1, this.#entrance.names)
    return names + this.#ending.size
  }

  attach(path: string, options: AttachOptions): void {
    const { mode, reclaim } = checkAttach(options)
    if (typeof path !== 'string' || path === '' || path.includes('\0', 1)) {
      throw invalid('fattach', 'a name is a path, or begins with NUL in the abstract name space')
    }
    const absolute = isAbstract(path) ? path : resolve(path)
    if (this.#names.some((name) => name.path === absolute)) throw new DoorError(E.EBUSY, 'fattach')
    if (reclaim && !isAbstract(path)) repair(absolute)
    const covered = isAbstract(path) ? undefined : this.#cover(absolute)
    this.#make(covered ?? absolute, mode)
    if (covered !== undefined) exchange(covered, absolute)
    this.#names.push({ path: absolute, covered })
    this.#changed()
  }

  /** Takes a name away, or all. The file that was there before is there again. */
  detach(path?: string): void {
    this.#look()
    const wanted = path === undefined || isAbstract(path) ? path : resolve(path)
    const found = this.#names.filter((name) => wanted === undefined || name.path === wanted)
    if (wanted !== undefined && found.length === 0) {
      throw new DoorError(E.EINVAL, 'fdetach', { detail: 'this door is not attached there' })
    }
    for (const name of found) this.#remove(name)
    this.#look()
  }

  /** Nobody is let in any more, be it by names that it knows or by those that others have made. */
  end(): void {
    this.detach()
    this.#end()
    this.#changed()
  }

  /** Lets in who has come by them. */
  letIn(): void {
    this.#entrance?.letIn(this.#opened)
  }

  ref(on: boolean): void {
    this.#referenced = on
    this.#entrance?.ref(on)
  }

  /** Whether an existing file is to be covered: where the socket is made that takes its place. */
  #cover(path: string): string | undefined {
    const status = lstatSync(path, { throwIfNoEntry: false })
    if (status === undefined) return undefined
    if (status.isSocket()) throw new DoorError(E.EBUSY, 'fattach', { detail: socketThere })
    if (!status.isFile()) throw invalid('fattach', 'only a regular file can be covered')
    const user = process.getuid?.()
    if (user !== 0 && status.uid !== user) {
      throw new DoorError(E.EPERM, 'fattach', { detail: 'the file is somebody else’s' })
    }
    try {
      accessSync(path, constants.W_OK)
    } catch (cause) {
      throw new DoorError(E.EACCES, 'fattach', { cause })
    }
    return hiddenPath(path)
  }

  #make(path: string, mode: number | undefined): void {
    if (this.#entrance === undefined) {
      this.#entrance = this.#newEntrance(path, mode)
      return
    }
    if (isAbstract(path)) throw invalid('fattach', 'an abstract name is a door’s only one')
    const error = this.#entrance.link(path)
    if (error < 0) throw new DoorError(error === E.EEXIST ? E.EBUSY : error, 'fattach')
  }

  #newEntrance(path: string, mode: number | undefined): Entrance {
    try {
      const entrance: Entrance = new Entrance(
        path,
        mode,
        this.#opened,
        () => {
          this.#look()
        },
        () => {
          this.#ending.delete(entrance)
          this.#changed()
        },
      )
      entrance.ref(this.#referenced)
      return entrance
    } catch (cause) {
      const errno = errnoOf(cause) ?? E.EINVAL
      throw new DoorError(errno === E.EADDRINUSE ? E.EBUSY : errno, 'fattach', { cause })
    }
  }

  #remove({ path, covered }: Name): void {
    this.#names = this.#names.filter((name) => name.path !== path)
    if (isAbstract(path)) {
      this.#end()
      return
    }
    if (covered !== undefined && existsSync(covered)) {
      binding.exchange(covered, path)
      unlinkSync(covered)
    } else unlinkSync(path)
  }

  /** Finds out what others have done to the names. */
  #look(): void {
    const lost = this.#names.filter(({ path }) => !isAbstract(path) && this.#entrance?.has(path) !== true)
    // As many links are gone as names: all were removed. Otherwise one was moved, and nobody says which.
    const removed = this.#names.length - (this.#entrance?.names ?? 0) >= lost.length
    this.#names = this.#names.filter((name) => !lost.includes(name))
    for (const name of lost) uncover(name, removed)
    if (this.#entrance?.names === 0) this.#end()
    this.#changed()
  }

  #end(): void {
    if (this.#entrance === undefined) return
    this.#ending.add(this.#entrance)
    this.#entrance.end()
    this.#entrance = undefined
  }
}

/** Of a name that somebody has removed the covered file goes too, as on Solaris; of one that was moved it comes back. */
function uncover({ path, covered }: Name, removed: boolean): void {
  if (covered === undefined || !existsSync(covered)) return
  try {
    if (!removed) linkSync(covered, path)
  } catch {
    // Something else has the path by now: the file stays where it is, and is not lost.
    return
  }
  unlinkSync(covered)
}

/** The door takes the path of a file that it covers, with its permissions. */
function exchange(covered: string, path: string): void {
  const status = lstatSync(path)
  chmodSync(covered, status.mode & 0o777)
  if (process.getuid?.() === 0) chownSync(covered, status.uid, status.gid)
  const error = binding.exchange(covered, path)
  if (error >= 0) return
  unlinkSync(covered)
  throw new DoorError(error, 'fattach')
}
