import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Fd } from '@x/fdpass'

/** The addon. Numbers that are negative are errno values. */
export interface Binding {
  /** Makes an empty memory file an information page, and maps it to be written. */
  makeInfoPage(file: number): ArrayBuffer | number
  /** Maps another process's page. To write to it ends the process. */
  mapInfoPage(file: number): ArrayBuffer | number
  exchange(one: string, other: string): number
  /** Who owns descriptors that come, from the moment on at which they do. */
  setAdopter(adopter: typeof Fd.adopter): number
  link(descriptor: number, path: string): number
  shutdown(socket: number, how: number): number
  /** At once, also while somebody waits for the same. */
  accept(listener: number): number

  /** The record of the last `sessionTake`, `clientCall` or `loopTake` of this thread; descriptors, which are its then, from RECORD on. */
  readonly numbers: Int32Array
  /** Data of the last `sessionTake`, until the next one. */
  readonly bytes: Uint8Array
  /** Data of the last `clientCall` or `loopTake`, until the next one. */
  readonly replyBytes: Uint8Array
  /** Data of the last of both where it is in neither; once. */
  takenData(): Buffer | undefined

  /** A new door's number, of this thread; it ends with it. The page's file is borrowed, `source` is copied. EINVAL. */
  doorOpen(page: number, source: Uint8Array): number
  doorSource(door: number): ArrayBuffer | number
  /** A copy of its page. */
  doorPage(door: number): ArrayBuffer | number
  /** Calls that were taken, and whose replies are not out. */
  doorRunning(door: number): number
  /** Whether a thread that ends the last call is told so (Fate.rest). Returns how many run; it may be told although none did. */
  doorWant(door: number, want: boolean): number
  /** Its sessions are closed: their knotes are to be removed before. */
  doorClose(door: number): number
  sessionsOf(door: number): Int32Array

  /** Takes the socket over, and closes it on failure: EBADF (no such door), EINVAL (flags), EPROTOTYPE. */
  sessionOpen(socket: number, door: number, flags: number): number
  /** Borrowed. EBADF once the session is closed. */
  sessionDescriptor(session: number): number
  /** The same; until `sessionUnpin` its number is no other file's, whoever closes the session. One at a time. */
  sessionPin(session: number): number
  sessionUnpin(): number
  /** What has come (Taken), after so many microseconds at most. A call is the thread's (its id + 1) from then on. */
  sessionTake(session: number, thread: number, linger: number): number
  /**
   * Ends a call. `lingers`: this thread calls `sessionTake` next. Returns Fate bits; with EBADF (of `descriptors`), E2BIG
   * or EINVAL nothing has happened.
   */
  sessionReply(
    session: number,
    sequence: number,
    status: number,
    data: Uint8Array | null,
    descriptors: Int32Array | null,
    lingers?: boolean,
  ): number
  /** Sends replies that wait. Fate bits. */
  sessionFlush(session: number): number
  /** Nobody waits for the reply. */
  sessionAborted(session: number, sequence: number): boolean
  /** A thread has said that it takes next (`lingers`), and has not: its request comes to no queue. */
  sessionAwaited(session: number): boolean
  /** Who runs the call; 0 nobody. */
  sessionThread(session: number, sequence: number): number
  /** Calls of it that have no reply yet. A reply that waits to be sent is none of them. */
  sessionRunning(session: number): number
  /** pid, uid, gid, and then the supplementary groups, each as a signed number. */
  sessionPeer(session: number): Int32Array | number
  sessionPidfd(session: number): number
  /** At once for the client; calls that run are ended by their replies. Fate bits. */
  sessionClose(session: number): number
  /** Answers the calls of a thread that has gone. Sessions to be flushed, taken from and watched again. */
  threadGone(thread: number): Int32Array

  /** Takes the socket over, and closes it on failure: EBADF, EPROTOTYPE. */
  clientOpen(socket: number, area: boolean): number
  /**
   * Calls, and waits; milliseconds, negative or Infinity for ever. EBADF (no such client), EINVAL (arguments, a bad
   * descriptor) and E2BIG leave the session as it was. After all others it is over: ETIMEDOUT, ECANCELED (the worker is
   * being terminated), EPIPE (the server has gone), EPROTO, EOVERFLOW, EMFILE (descriptors of the reply were lost).
   */
  clientCall(
    client: number,
    sequence: number,
    data: Uint8Array | null,
    descriptors: Int32Array | null,
    out: Uint8Array | null,
    timeout: number,
  ): number
  clientClose(client: number): number

  /** Takes the socket over, and closes it on failure: EBADF, EPROTOTYPE. It keeps the thread alive while a reply is awaited. */
  loopOpen(socket: number, area: boolean): number
  /**
   * 0: it is out. 1: it waits for room, with copies of all. EBADF (no such client), EINVAL, E2BIG: it is not. After all
   * others it is not either; `loopOver` tells whether the session is over.
   */
  loopCall(client: number, sequence: number, data: Uint8Array | null, descriptors: Int32Array | null): number
  /** Nobody waits for the reply. */
  loopCancel(client: number, sequence: number): number
  /** 1: a reply is in the record (Reply). 0: there is none. Other values: the session is over. */
  loopTake(client: number): number
  loopOver(client: number): boolean
  /** Of a call that waited for room: not all of it is out. Until `loopClose`. */
  loopQueued(client: number, sequence: number): boolean
  /** Whether somebody waits until a call may be made: that keeps the thread alive too. */
  loopHold(client: number, held: boolean): number
  loopClose(client: number): number
  /** Who is told of what `loopTake` has returned, when something has come, or has gone (0). It must not throw. */
  setListener(listener: (client: number, result: number) => void): number
}

/** What `sessionTake` finds. */
export const Taken = {
  nothing: 0,
  /** A call: the record is Call. */
  call: 1,
  /** Nobody waits for the reply to numbers[0] any more. */
  cancel: 2,
  /** The session cannot go on. */
  over: 3,
  /** Something that is no call yet, or one that was refused: numbers[0] has Fate bits. There may be more. */
  again: 4,
} as const

/** What has become of a reply, and of the calls of the door. */
export const Fate = {
  /** It waits until there is room in the socket; then `sessionFlush`. */
  queued: 1,
  /** No call of the door runs, and its owner wants to know (`doorWant`). */
  rest: 2,
  /** There is nobody to answer. */
  gone: 4,
} as const

/** Places in `numbers` of a call that was taken. */
export const Call = {
  sequence: 0,
  door: 1,
  lengthLow: 2,
  lengthHigh: 3,
  descriptors: 4,
  inBytes: 5,
  flags: 6,
} as const

/** Places in `numbers` of a reply. */
export const Reply = {
  status: 0,
  lengthLow: 1,
  lengthHigh: 2,
  descriptors: 3,
  /** Where its data is: Place. */
  place: 4,
  /** The request, with its descriptors, was out whole: after failures too. */
  sent: 5,
  /** Of the call, after `loopTake`. */
  sequence: 6,
} as const

export const Place = { out: 0, bytes: 1, taken: 2 } as const

/** Where descriptors begin in `numbers`. */
export const RECORD = 8

const load = (): Binding => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const require = createRequire(import.meta.url)
  const built = `${root}native/build/Release/addon.node`
  try {
    return (require('node-gyp-build') as (folder: string) => Binding)(root)
  } catch (cause) {
    if (existsSync(built)) return require(built) as Binding
    throw new Error(
      `@x/doors has no binary for ${process.platform}-${process.arch} (looked in ${root}prebuilds and at ${built}). ` +
        'Build it: npm i node-addon-api && npx -y node-gyp@12 rebuild -C node_modules/@x/doors/native',
      { cause },
    )
  }
}

export const binding: Binding = load()
binding.setAdopter(Fd.adopter)
