import { createRequire } from 'node:module'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Fd } from '@x/fdpass'

/** A message that waits in a socket. */
export interface QueuedMessage {
  readonly bytes: Buffer
  /** Descriptors that came with it; the adopter has them. */
  readonly rights: Int32Array
  /** Name of the socket that it was sent from, as bind(2) had it; empty for none. */
  readonly sender: Buffer
}

/** The addon. Numbers that it returns are negative errno values where they are negative. Descriptors are borrowed. */
export interface Binding {
  /** kcmp(2). */
  compare(pid: number, other: number, type: number, index: number, otherIndex: number): number
  /** Whether the nth watch of `epoll` under the number `watched` is of what `number` is now: 0, or an order. */
  compareWatch(pid: number, number: number, epoll: number, watched: number, nth: number): number
  /** Its fdinfo and its link, with a NUL between them. What stat(2) says is left in `status`: see file-status.ts. */
  look(pid: number, descriptor: number, status: BigUint64Array): string | number
  /** stat(2), or lstat(2). */
  status(path: string, follow: 0 | 1, status: BigUint64Array): number
  /** pidfd_send_signal(2). */
  signal(pidfd: number, signal: number): number

  /** fcntl(2). */
  control(descriptor: number, command: number, argument: number | Uint8Array): number
  /** ioctl(2). */
  deviceControl(descriptor: number, request: number, argument: number | Uint8Array): number
  pipeContent(pipe: number): { readonly bytes: Buffer; readonly packets: Int32Array } | number
  /** It is read out, and put back. E2BIG, EPERM. */
  terminalInput(terminal: number, master: 0 | 1): Buffer | number
  /** Begin and end of each extent. */
  extents(file: number): Float64Array | number
  nameOfHandle(mount: number, type: number, handle: Uint8Array): Buffer | number
  textOfLink(link: number): Buffer | number

  /** getsockopt(2); returns the length. */
  option(socket: number, level: number, name: number, memory: Uint8Array): number
  /** getsockname(2), or getpeername(2); returns the length. */
  name(socket: number, peer: 0 | 1, memory: Uint8Array): number
  /** Whether something waits to be received: 1 or 0. Nothing is taken, no error either. */
  hasInput(socket: number): number
  /** Whether the next call on it would be told of an error: 1 or 0. It is not taken. */
  hasError(socket: number): number
  /** Inode of the network namespace that it is in. */
  networkNamespace(socket: number): number
  /** Netlink messages that answer a request for all sockets of the namespace of the socket `inside`, or (-1) of ours. */
  diagnose(inside: number, request: Uint8Array): Buffer | number
  /** Its name. */
  socketFile(socket: number, status: BigUint64Array): Buffer | number
  socketQueue(socket: number, type: number, adopter: typeof Fd.adopter): readonly QueuedMessage[] | number
  /** The state is left in 14 numbers: see native/tcp_connection.h. */
  tcpConnection(
    socket: number,
    state: Uint32Array,
  ): { readonly receive: Buffer; readonly send: Buffer } | number
}

const load = (): Binding => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const require = createRequire(import.meta.url)
  const built = `${root}native/build/Release/addon.node`
  try {
    return (require('node-gyp-build') as (folder: string) => Binding)(root)
  } catch (cause) {
    if (existsSync(built)) return require(built) as Binding
    throw new Error(
      `@x/restore has no binary for ${process.platform}-${process.arch} (looked in ${root}prebuilds and at ${built}). ` +
        'Build it: npm i node-addon-api && npx -y node-gyp@12 rebuild -C node_modules/@x/restore/native',
      { cause },
    )
  }
}

// A copy, because an object that native code fills has slow properties.
export const binding: Binding = Object.freeze({ ...load() })
