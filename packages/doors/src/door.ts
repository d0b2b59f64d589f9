import { randomBytes } from 'node:crypto'
import { Fd, FdSocket } from '@x/fdpass'
import {
  DOOR_IS_UNREF,
  DOOR_LOCAL,
  DOOR_NO_CANCEL,
  DOOR_REFUSE_DESC,
  DOOR_REVOKED,
  DOOR_UNREF,
  DOOR_UNREF_MULTI,
  type DoorParam,
} from './attributes.ts'
import { checkFields, DoorError, E, invalid } from './errors.ts'
import { InfoPage, type DoorInfo } from './info-page.ts'
import { checkLimits, INT_MAX, paramOf, refusal, withParam } from './limits.ts'
import { Names, type AttachOptions } from './names.ts'
import { References } from './references.ts'
import type { Room } from './pieces.ts'
import { ServerSession, type CallContext, type Reply, type Served } from './server-session.ts'
import { servedHere } from './served-here.ts'
import { decodeHeader, encodeHeader, MOST_RIGHTS, PIECE, Type, type Packet } from './wire.ts'

/** What a door is made of. `data` is null when the caller has given none. */
export type Procedure = (data: Buffer | null, context: CallContext) => Reply | Promise<Reply>

export interface DoorOptions {
  /**
   * Whether `onUnreferenced` is called when the references drop to one: `once` (DOOR_UNREF), or each time
   * (DOOR_UNREF_MULTI).
   */
  unref?: false | 'once' | 'multi' | undefined
  /** Called after the calls that run have ended. See `door.info().attributes & DOOR_IS_UNREF` for how it is by then. */
  onUnreferenced?: (() => void) | undefined
  /** No descriptors in calls (DOOR_REFUSE_DESC). */
  refuseDescriptors?: boolean | undefined
  /** False: a procedure is not told when its caller goes (DOOR_NO_CANCEL). */
  cancel?: boolean | undefined
  /** For the procedure: `context.cookie`. */
  cookie?: unknown
  /** A number that everybody who has the door can see. */
  publicCookie?: bigint | undefined
  /** The least and the most bytes of a call, and the most descriptors. */
  dataMin?: number | undefined
  dataMax?: number | undefined
  descMax?: number | undefined
}

const fields = [
  'unref',
  'onUnreferenced',
  'refuseDescriptors',
  'cancel',
  'cookie',
  'publicCookie',
  'dataMin',
  'dataMax',
  'descMax',
]
/** The most bytes of a call that are kept, whatever DATA_MAX is. */
const MOST_BYTES = 256 * 1024 * 1024
/** A client has a session for each of its threads that calls. */
const MOST_SESSIONS = 1024
/** What a packet of a session has at most, and room to see that one has more. */
const SESSION = { maxFds: MOST_RIGHTS, maxBytes: 2 * PIECE }

const unrefs: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [false, 0],
  ['once', DOOR_UNREF],
  ['multi', DOOR_UNREF_MULTI],
])

function attributesOf({ unref = false, refuseDescriptors = false, cancel = true }: DoorOptions): number {
  const kind = unrefs.get(unref)
  if (kind === undefined) throw invalid('door_create', 'unref is false, once or multi')
  return kind | (refuseDescriptors ? DOOR_REFUSE_DESC : 0) | (cancel ? 0 : DOOR_NO_CANCEL)
}

/** A door that this thread serves. */
export class Door implements Served, AsyncDisposable {
  readonly cookie: unknown
  readonly #procedure: Procedure
  readonly #onUnreferenced: (() => void) | undefined
  readonly #page: InfoPage
  readonly #uniquifier: bigint
  readonly #names: Names
  readonly #references: References
  readonly #opens = new Set<FdSocket>()
  readonly #sessions = new Set<ServerSession>()
  #running = 0
  #unreferenced = false
  #idle: (() => void) | undefined

  /** @internal See {@link createDoor}. */
  constructor(procedure: Procedure, options: DoorOptions) {
    checkFields(options, fields, 'door_create')
    if (typeof procedure !== 'function') throw invalid('door_create', 'the procedure is a function')
    this.#procedure = procedure
    this.cookie = options.cookie
    this.#onUnreferenced = options.onUnreferenced
    this.#uniquifier = randomBytes(8).readBigInt64LE()
    const attributes = attributesOf(options)
    const limits = checkLimits(
      {
        dataMin: options.dataMin ?? 0,
        dataMax: options.dataMax ?? Number.MAX_SAFE_INTEGER,
        descMax: options.descMax ?? (options.refuseDescriptors === true ? 0 : INT_MAX),
      },
      attributes,
      'door_create',
    )
    this.#page = InfoPage.make(
      this.#uniquifier,
      options.publicCookie ?? 0n,
      attributes | DOOR_IS_UNREF,
      limits,
    )
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
    servedHere.add(this.#uniquifier)
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

  /** Drops the door's own reference. It goes on as long as there are others. Closing twice is fine. */
  close(): void {
    if (this.#references.own === 0) return
    this.#references.own = 0
    this.#recount()
  }

  /**
   * Ends it for all: calls that run complete, and none begins any more. Its names are taken away. Resolves when the last
   * has ended. Throws DoorError EBADF when it was revoked before.
   */
  async revoke(): Promise<void> {
    this.#check('door_revoke')
    this.#page.attributes |= DOOR_REVOKED
    this.#unreferenced = false
    this.#names.end()
    for (const socket of this.#opens) socket.close()
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    for (const session of this.#sessions) session.close()
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

  /** @internal */
  get cancels(): boolean {
    return (this.#page.attributes & DOOR_NO_CANCEL) === 0
  }

  /** @internal */
  get room(): Room {
    const { dataMax, descMax } = this.#page.limits
    return { bytes: Math.min(dataMax, MOST_BYTES), fds: descMax }
  }

  /** @internal In the order of door_call(3C). */
  refuses({ length, descriptors }: Packet): number {
    return refusal(this.#page, length, descriptors) || (length > MOST_BYTES ? E.E2BIG : 0)
  }

  /** @internal */
  run(data: Buffer | null, context: CallContext): Reply | Promise<Reply> {
    return this.#procedure(data, context)
  }

  /** @internal */
  enter(): void {
    this.#running++
  }

  /** @internal */
  leave(): void {
    this.#running--
    if (this.#running === 0) this.#rest()
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
    const mine = new Set<ServerSession>()
    try {
      const hello = encodeHeader({ type: Type.hello, sequence: 0, status: 0, length: 0, descriptors: 1 })
      await socket.send(hello, [this.#page.file])
      for await (const message of socket) {
        const packet = decodeHeader(message.data)
        const [end] = message.fds
        const good = packet?.type === Type.session && message.fdCount === 1 && mine.size < MOST_SESSIONS
        if (!good || end?.kind !== 'unix-seqpacket') {
          message.close()
          break
        }
        this.#begin(FdSocket.from(message.claim()[0] as Fd, SESSION), mine)
      }
    } catch {
      // What is no door's client costs its own open, and nothing else.
    }
    socket.close()
    this.#opens.delete(socket)
    this.#recount()
  }

  #begin(socket: FdSocket, mine: Set<ServerSession>): void {
    const session = new ServerSession(socket, this)
    mine.add(session)
    this.#sessions.add(session)
    void session.run().then(() => {
      mine.delete(session)
      this.#sessions.delete(session)
    })
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
    else if (this.#running === 0) this.#rest()
  }

  /** No call runs: what waited for that is done. */
  #rest(): void {
    this.#idle?.()
    if (!this.#unreferenced) return
    this.#unreferenced = false
    const { attributes } = this.#page
    if ((attributes & (DOOR_UNREF | DOOR_UNREF_MULTI)) === 0 || (attributes & DOOR_REVOKED) !== 0) return
    this.#page.attributes = attributes & ~DOOR_UNREF
    this.#onUnreferenced?.()
  }

  #end(): void {
    servedHere.delete(this.#uniquifier)
    for (const session of this.#sessions) session.close()
    this.#page.close()
  }
}

/**
 * Makes a door: a procedure that other processes call, on the event loop of this thread. Throws DoorError EINVAL for
 * unknown options, EMFILE.
 */
export function createDoor(procedure: Procedure, options: DoorOptions = {}): Door {
  return new Door(procedure, options)
}
