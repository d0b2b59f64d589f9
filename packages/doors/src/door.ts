import { randomBytes } from 'node:crypto'
import { Fd, FdSocket } from '@x/fdpass'
import {
  DOOR_IS_UNREF,
  DOOR_LOCAL,
  DOOR_REVOKED,
  DOOR_UNREF,
  DOOR_UNREF_MULTI,
  type DoorParam,
} from './attributes.ts'
import { binding } from './binding.ts'
import { DoorError, E } from './errors.ts'
import { InfoPage, type DoorInfo, type DoorLimits } from './info-page.ts'
import { checkLimits, paramOf, withParam } from './limits.ts'
import { Names, type AttachOptions } from './names.ts'
import { ownDoors } from './own-doors.ts'
import { References } from './references.ts'
import type { Servers } from './servers.ts'
import { decodeHeader, encodeHeader, Type } from './wire.ts'

/** A client has a session for each of its threads that calls. */
const MOST_SESSIONS = 1024
/** Milliseconds, once or twice, that a caller of a revoked door has to read its reply. */
const READING = 2000

/** What a door is made with, all of it checked. */
export interface Construction {
  readonly attributes: number
  readonly limits: DoorLimits
  readonly publicCookie: bigint
  readonly onUnreferenced: (() => void) | undefined
  /** For threads that serve it; empty when this one does. */
  readonly source: Uint8Array
  /** Whether its procedure runs in the event loop of this thread. */
  readonly runsHere: boolean
  /** Who serves, told the door's number and how to say that no call runs any more. */
  readonly serve: (door: number, rest: () => void) => Servers
  /** Asks for one server thread more. */
  readonly addThread: () => Promise<void>
}

/** A door that this process serves, in the hands of the thread that has made it. */
export class Door implements AsyncDisposable {
  readonly #construction: Construction
  readonly #page: InfoPage
  readonly #uniquifier: bigint
  readonly #number: number
  readonly #servers: Servers
  readonly #names: Names
  readonly #references: References
  readonly #opens = new Set<FdSocket>()
  #unreferenced = false
  #idle: (() => void) | undefined
  #ended = false

  /** @internal See {@link createDoor}. */
  constructor(construction: Construction) {
    this.#construction = construction
    this.#uniquifier = randomBytes(8).readBigInt64LE()
    const { publicCookie, attributes, limits } = construction
    this.#page = InfoPage.make(this.#uniquifier, publicCookie, attributes | DOOR_IS_UNREF, limits)
    this.#number = openedDoor(this.#page, construction.source)
    try {
      this.#servers = construction.serve(this.#number, () => {
        this.#rest()
      })
    } catch (error) {
      binding.doorClose(this.#number)
      this.#page.close()
      throw error
    }
    this.#names = new Names(
      (socket) => {
        this.#open(socket)
      },
      () => {
        this.#recount()
      },
    )
    this.#references = new References((unreferenced) => {
      this.#mark(unreferenced)
    })
    ownDoors.set(this.#uniquifier, {
      runsHere: construction.runsHere,
      letIn: () => {
        this.#names.letIn()
      },
      admit: (end, flags) => {
        this.#begin(end, flags)
      },
    })
  }

  /** References to it: its own, its names, and its opens in all processes. */
  get references(): { own: number; names: number; opens: number; total: number } {
    const { own, names, opens, total } = this.#references
    return { own, names, opens, total }
  }

  /** What everybody can see of it (door_info(3C)), with DOOR_LOCAL. It tells of a revoked door too. */
  info(): DoorInfo {
    const info = this.#page.info
    return { ...info, attributes: info.attributes | DOOR_LOCAL }
  }

  getParam(param: DoorParam): number {
    return paramOf(this.#page.limits, param)
  }

  /**
   * Changes a limit of calls. Throws DoorError EINVAL (unknown, or the least above the most), ERANGE, ENOTSUP (descriptors
   * of a door that takes none), EBADF (revoked).
   */
  setParam(param: DoorParam, value: number): void {
    this.#check('door_setparam')
    const changed = withParam(this.#page.limits, param, value)
    this.#page.limits = checkLimits(changed, this.#page.attributes, 'door_setparam')
  }

  /**
   * Gives it a name: a path that is not there, or that of a regular file, which is covered and comes back when the name
   * is detached. Throws DoorError: EBUSY (there is a socket, or it is attached there), EACCES, EPERM, ENOENT, EINVAL.
   */
  attach(path: string, options: AttachOptions = {}): void {
    this.#check('fattach')
    this.#names.attach(path, options)
  }

  /** Takes a name away, or all. Who has opened it keeps it. Throws DoorError EINVAL when it is not attached there. */
  detach(path?: string): void {
    this.#names.detach(path)
  }

  /** A descriptor of it, to be passed to another process: whoever has it can call, whatever the names are. */
  descriptor(): Fd {
    this.#check('door_create')
    const [here, there] = FdSocket.pair({ type: 'seqpacket' })
    this.#open(here)
    return Fd.from(there.take())
  }

  /**
   * Asks for one server thread more, of a door with threads of its own. Resolves when it serves. Rejects with DoorError
   * EINVAL for a door without, EAGAIN when there may be no more or the server creation callback declines, EBADF (revoked,
   * or the thread has ended before it served).
   */
  async addThread(): Promise<void> {
    this.#check('door_bind')
    await this.#construction.addThread()
  }

  /** Drops the door's own reference. It goes on as long as there are others. Closing twice is fine. */
  close(): void {
    if (this.#references.own === 0) return
    this.#references.own = 0
    this.#recount()
  }

  /**
   * Ends it for all: calls that run complete, and none begins any more: those that wait for a thread fail with EBADF. Its
   * names are taken away. Resolves when the last has ended, and keeps the process alive until then; a caller that does not
   * read its reply for some seconds loses it. Throws DoorError EBADF when it was revoked before.
   */
  async revoke(): Promise<void> {
    this.#check('door_revoke')
    this.#page.attributes |= DOOR_REVOKED
    this.#unreferenced = false
    this.#names.end()
    for (const socket of this.#opens) socket.close()
    for (const session of binding.sessionsOf(this.#number)) this.#servers.refuse(session)
    if (binding.doorWant(this.#number, true) > 0) await this.#lastCall()
    this.#endSessions()
    this.close()
  }

  /** Whether its names and opens keep the process alive: they do, unless `unref` was called. */
  ref(): this {
    this.#names.ref(true)
    for (const socket of this.#opens) socket.ref()
    return this
  }

  unref(): this {
    this.#names.ref(false)
    for (const socket of this.#opens) socket.unref()
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if ((this.#page.attributes & DOOR_REVOKED) === 0) await this.revoke()
  }

  #check(syscall: string): void {
    if ((this.#page.attributes & DOOR_REVOKED) !== 0) throw new DoorError(E.EBADF, syscall)
  }

  /** Somebody has opened it: one reference, until the last copy of the other end is gone. */
  #open(socket: FdSocket): void {
    if ((this.#page.attributes & DOOR_REVOKED) !== 0) {
      socket.close()
      return
    }
    this.#opens.add(socket)
    this.#recount()
    void this.#serve(socket)
  }

  async #serve(socket: FdSocket): Promise<void> {
    let mine: number[] = []
    try {
      const hello = encodeHeader({ type: Type.hello, sequence: 0, status: 0, length: 0, descriptors: 1 })
      await socket.send(hello, [this.#page.file])
      for await (const message of socket) {
        const packet = decodeHeader(message.data)
        if (mine.length >= MOST_SESSIONS) mine = mine.filter((id) => binding.sessionDescriptor(id) >= 0)
        const good = packet?.type === Type.session && message.fdCount === 1 && mine.length < MOST_SESSIONS
        if (!good || message.fds[0]?.kind !== 'unix-seqpacket') {
          message.close()
          break
        }
        mine.push(this.#begin(message.claim()[0] as Fd, packet.status))
      }
    } catch {
      // What is no door's client costs its own open, and nothing else.
    }
    this.#shut(socket, mine)
  }

  /** Sessions are nothing without the open that they came by. While a door is revoked, its calls end before them. */
  #shut(socket: FdSocket, sessions: readonly number[]): void {
    socket.close()
    if ((this.#page.attributes & DOOR_REVOKED) === 0) for (const id of sessions) this.#servers.end(id)
    this.#opens.delete(socket)
    this.#recount()
  }

  #begin(end: Fd | FdSocket, flags: number): number {
    const session = binding.sessionOpen(end.take(), this.#number, flags)
    if (session > 0) this.#servers.watch(session)
    return session
  }

  #recount(): void {
    this.#references.names = this.#names.count
    this.#references.opens = this.#opens.size
    this.#references.update()
  }

  #mark(unreferenced: boolean): void {
    const alone = this.#references.total <= 1
    const { attributes } = this.#page
    this.#page.attributes = alone ? attributes | DOOR_IS_UNREF : attributes & ~DOOR_IS_UNREF
    if (unreferenced) this.#unreferenced = true
    if (this.#references.total === 0) this.#end()
    else if (this.#unreferenced) this.#rest()
  }

  /** When no call runs, what waited for that is done; else the thread that ends the last one tells. */
  #rest(): void {
    if (this.#idle === undefined && !this.#unreferenced) return
    if (binding.doorWant(this.#number, true) > 0) return
    binding.doorWant(this.#number, false)
    this.#idle?.()
    if (!this.#unreferenced) return
    this.#unreferenced = false
    const { attributes } = this.#page
    if ((attributes & (DOOR_UNREF | DOOR_UNREF_MULTI)) === 0 || (attributes & DOOR_REVOKED) !== 0) return
    this.#page.attributes = attributes & ~DOOR_UNREF
    this.#construction.onUnreferenced?.()
  }

  /** Resolves when no call runs any more. Whoever has a reply and does not read it is not waited for. */
  async #lastCall(): Promise<void> {
    let answered = new Set<number>()
    // Threads tell by what keeps no process alive: this does.
    const looks = setInterval(() => {
      const idle = binding.sessionsOf(this.#number).filter((id) => binding.sessionRunning(id) === 0)
      for (const id of idle) if (answered.has(id)) this.#servers.end(id)
      answered = new Set(idle)
      this.#rest()
    }, READING)
    await new Promise<void>((resolve) => (this.#idle = resolve))
    clearInterval(looks)
  }

  #endSessions(): void {
    for (const session of binding.sessionsOf(this.#number)) this.#servers.end(session)
  }

  #end(): void {
    if (this.#ended) return
    this.#ended = true
    ownDoors.delete(this.#uniquifier)
    this.#endSessions()
    this.#servers.leave(this.#number)
    binding.doorClose(this.#number)
    this.#page.close()
  }
}

function openedDoor(page: InfoPage, source: Uint8Array): number {
  const number = binding.doorOpen(page.file.fd, source)
  if (number > 0) return number
  page.close()
  throw new DoorError(number, 'door_create')
}
