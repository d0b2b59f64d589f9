import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The memory that numbers are exchanged in; its first places are those of {@link Slot}. */
export interface Numbers extends Int32Array {
  0: number
  1: number
  2: number
  3: number
  4: number
  5: number
  6: number
  8: number
  9: number
}

/**
 * The addon of this thread. Numbers that it returns are results when they are not negative, and errno values when they
 * are. Descriptors that it makes or receives are owned by this thread until they are closed or taken; when the thread
 * ends they are closed.
 */
export interface Binding {
  /** Bytes on their way in and out, so that most calls need no array of their own. */
  readonly bytes: Uint8Array
  /** What a call takes and returns beside its number: see {@link Slot}. */
  readonly numbers: Numbers
  /** The name of a datagram's sender. */
  readonly name: Uint8Array

  adopt(descriptor: number): number
  take(descriptor: number): number
  close(descriptor: number): number
  /** Takes over `count` numbers from `first` on, in one step. Returns how many, or a negative errno. */
  readonly adoptAll: (numbers: Int32Array, first: number, count: number) => number
  /** Closes those of the first `count` numbers that are owned. */
  closeAll(count: number): number
  open(path: string, flags: number, mode: number): number
  duplicate(descriptor: number): number
  replace(descriptor: number, other: number): number
  reopen(descriptor: number, flags: number): number
  ownedCount(): number

  kind(descriptor: number): string | number
  fileFlags(descriptor: number): number
  setBlocking(descriptor: number, blocking: boolean): number
  /** Leaves its device, and 1 for a pty's master, in {@link numbers}. */
  terminal(descriptor: number): number
  memoryFile(name: string): number
  seals(descriptor: number): number
  addSeals(descriptor: number, seals: number): number
  pidfdOpen(pid: number): number
  pidfdGetfd(pidfd: number, descriptor: number): number

  socket(type: number): number
  pair(type: number): number
  connect(socket: number, name: string): number
  bind(socket: number, name: string, mode: number): number
  listen(socket: number, backlog: number): number
  accept(listener: number): number
  shutdown(socket: number, how: number): number
  setOption(socket: number, option: number, value: number): number
  status(descriptor: number): number
  localName(socket: number): string | number
  peerName(socket: number): string | number
  peerCredentials(socket: number): number
  peerPidfd(socket: number): number
  unreceived(socket: number): number
  available(socket: number): number

  send(
    socket: number,
    prefix: number,
    descriptors: number,
    bytes?: Uint8Array,
    offset?: number,
    length?: number,
    to?: string,
    pid?: number,
    uid?: number,
    gid?: number,
  ): number
  receive(
    socket: number,
    most: number,
    length: number,
    flags?: number,
    named?: boolean,
    bytes?: Uint8Array,
    offset?: number,
  ): number

  wait(descriptor: number, events: number, milliseconds: number): number
  startPoller(callback: (count: number) => void, events: Int32Array): number
  watch(descriptor: number, events: number, key: number): number
  refPoller(on: boolean): void
}

/** Places in {@link Binding.numbers}; native/addon_environment.h has the same. */
export const Slot = {
  /** Descriptors received; negative: so many were closed, because they were more than allowed. */
  count: 0,
  /** MSG_CTRUNC, MSG_TRUNC. */
  flags: 1,
  /** -1 where there are no credentials. */
  pid: 2,
  uid: 3,
  gid: 4,
  /** -1 where there is none. */
  pidfd: 5,
  nameLength: 6,
  /** The first descriptor. */
  descriptors: 8,
} as const

const load = (): Binding => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const require = createRequire(import.meta.url)
  const built = `${root}native/build/Release/addon.node`
  try {
    return (require('node-gyp-build') as (folder: string) => Binding)(root)
  } catch (cause) {
    if (existsSync(built)) return require(built) as Binding
    throw new Error(
      `@x/fdpass has no binary for ${process.platform}-${process.arch} (looked in ${root}prebuilds and at ${built}). ` +
        'Build it: npm i node-addon-api && npx -y node-gyp@12 rebuild -C node_modules/@x/fdpass/native',
      { cause },
    )
  }
}

// A copy, because an object that native code fills has slow properties.
export const binding: Binding = Object.freeze({ ...load() })
