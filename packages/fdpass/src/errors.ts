import { getSystemErrorMap } from 'node:util'
import type { FdKind } from './fd-kind.ts'

const brand: unique symbol = Symbol.for('@x/fdpass.FdPassError') as never
const truncatedBrand: unique symbol = Symbol.for('@x/fdpass.FdTruncatedError') as never
const refusedBrand: unique symbol = Symbol.for('@x/fdpass.FdRefusedError') as never

/** What people can do about an errno, where the kernel's own sentence does not say. */
const remedies: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the name is taken; listen with { replace: true } takes over a path that nobody listens on',
  EBADF: 'it is closed, was taken, or belongs to another thread',
  EBUSY: 'somebody else has it in hand: another owner, a wait, or bytes that are read already',
  EMFILE: 'no descriptor is left in this process: see RLIMIT_NOFILE',
  EMSGSIZE: 'the message is larger than the socket’s buffer takes: see net.core.wmem_max, or use a stream',
  ENOENT: 'no socket has this name; is the server running?',
  ENOPROTOOPT: 'this kernel does not know the socket option',
  ECONNREFUSED: 'nobody listens on this name',
  EPIPE: 'the peer has closed its end, or this end was half-closed',
  EPROTO: 'the peer does not speak in frames: { framed: false } receives bytes as they are',
  ETOOMANYREFS: 'too many descriptors of this user are in flight: see RLIMIT_NOFILE',
}

const unknownToNode: ReadonlyMap<number, [string, string]> = new Map([
  [-109, ['ETOOMANYREFS', 'too many references: cannot splice']],
  [-92, ['ENOPROTOOPT', 'protocol not available']],
])

interface Details {
  /** Instead of what is generally said about the errno. */
  detail?: string | undefined
  cause?: unknown
}

/**
 * What every function of this package fails with. `code`, `errno` (negative) and `syscall` are as in Node's own system
 * errors. Branded, so that `instanceof` holds between two copies of this package.
 */
export class FdPassError extends Error {
  override readonly name: string = 'FdPassError'
  readonly code: string
  readonly errno: number
  readonly syscall: string

  /** `errno` is negative, as the kernel gave it. */
  constructor(errno: number, syscall: string, { detail, ...options }: Details = {}) {
    const [code, sentence] = getSystemErrorMap().get(errno) ??
      unknownToNode.get(errno) ?? [`E${-errno}`, 'unknown error']
    const remedy = detail ?? remedies[code]
    super(`${syscall}: ${code}, ${sentence}${remedy === undefined ? '' : ` (${remedy})`}`, options)
    this.code = code
    this.errno = errno
    this.syscall = syscall
    Object.defineProperty(this, brand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value
  }
}

const EACCES = -13
const EMFILE = -24
const EMSGSIZE = -90

/**
 * A message did not arrive whole, and what did arrive of its descriptors was closed. EMFILE: descriptors are missing
 * (MSG_CTRUNC), because the table of this process is full or a security module forbade them. EMSGSIZE: bytes are
 * missing (MSG_TRUNC), because the packet is longer than `maxBytes`. The messages after it are not touched.
 */
export class FdTruncatedError extends FdPassError {
  override readonly name = 'FdTruncatedError'
  /** The bytes that arrived. */
  readonly data: Buffer
  /** How many descriptors arrived and were closed. */
  readonly closed: number

  constructor(missing: 'descriptors' | 'bytes', data: Buffer, closed: number) {
    const [errno, why] =
      missing === 'bytes'
        ? [EMSGSIZE, 'the packet is longer than maxBytes, and its rest is lost']
        : [
            EMFILE,
            'descriptors of this message are lost: the table is full, see RLIMIT_NOFILE, or one was forbidden',
          ]
    super(errno, 'recvmsg', { detail: `${why}; ${closed} descriptors that came with it were closed` })
    this.data = data
    this.closed = closed
    Object.defineProperty(this, truncatedBrand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && truncatedBrand in value
  }
}

/**
 * The receiver's own rules (`maxFds`, `kinds`, `rights`) do not allow this message. All of its descriptors were closed,
 * because those that are left would stand for others. The messages after it are not touched.
 */
export class FdRefusedError extends FdPassError {
  override readonly name = 'FdRefusedError'
  /** The bytes that arrived. */
  readonly data: Buffer
  /** How many descriptors came with it, all of them closed. */
  readonly closed: number
  /** The kinds of the descriptors, when a kind was the reason; else empty. */
  readonly kinds: readonly FdKind[]

  constructor(why: string, data: Buffer, closed: number, kinds: readonly FdKind[] = []) {
    super(EACCES, 'recvmsg', { detail: `${why}; the ${closed} descriptors of this message were closed` })
    this.data = data
    this.closed = closed
    this.kinds = kinds
    Object.defineProperty(this, refusedBrand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && refusedBrand in value
  }
}
