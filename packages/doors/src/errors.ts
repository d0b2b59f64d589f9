import { getSystemErrorMap } from 'node:util'

const brand: unique symbol = Symbol.for('@x/doors.DoorError') as never

/** Errno values of doors(3DOOR), negative. */
export const E = {
  EPERM: -1,
  ENOENT: -2,
  EINTR: -4,
  E2BIG: -7,
  EBADF: -9,
  EAGAIN: -11,
  EACCES: -13,
  EBUSY: -16,
  EEXIST: -17,
  EINVAL: -22,
  ENFILE: -23,
  EMFILE: -24,
  EPIPE: -32,
  ERANGE: -34,
  EDEADLK: -35,
  EPROTO: -71,
  EOVERFLOW: -75,
  ENOTSOCK: -88,
  EPROTOTYPE: -91,
  ENOTSUP: -95,
  EADDRINUSE: -98,
  ECONNRESET: -104,
  ENOBUFS: -105,
  ENOTCONN: -107,
  ETIMEDOUT: -110,
  ECONNREFUSED: -111,
  ECANCELED: -125,
  EREMOTEIO: -121,
} as const

/** What people can do about an errno, where its own sentence does not say. */
const remedies: Readonly<Record<string, string>> = {
  EAGAIN: 'the door has no room for another call; nothing ran',
  EBADF: 'this is no door, or it was revoked, or its server has gone',
  EBUSY: 'something is attached there already, or a call waits',
  EDEADLK: 'this thread serves the door itself, and would wait for itself; use call()',
  EINTR: 'the call was given up, or its server went away: it may have run, or not',
  EMFILE: 'descriptors of the call were lost: a table is full, see RLIMIT_NOFILE',
  ENFILE: 'more descriptors than the door takes (DOOR_PARAM_DESC_MAX)',
  ENOBUFS: 'fewer or more bytes than the door takes (DOOR_PARAM_DATA_MIN, DOOR_PARAM_DATA_MAX)',
  ENOTSUP: 'this door takes no descriptors (DOOR_REFUSE_DESC)',
  EOVERFLOW: 'the reply has more than 256 MiB or 1024 descriptors; it was dropped',
  EPERM: 'only the process that has created the door may do this',
  EREMOTEIO: 'the procedure threw an error',
}

const unknownToNode: ReadonlyMap<number, [string, string]> = new Map([
  [E.EDEADLK, ['EDEADLK', 'resource deadlock avoided']],
  [E.EREMOTEIO, ['EREMOTEIO', 'remote I/O error']],
])

interface Details {
  /** Instead of what is generally said about the errno. */
  detail?: string | undefined
  cause?: unknown
}

/**
 * What every function of this package fails with. `code`, `errno` (negative) and `syscall`, which is the name of the
 * function in doors(3DOOR), are as in Node's own system errors. Branded, so that `instanceof` holds between two copies
 * of this package.
 */
export class DoorError extends Error {
  override readonly name: string = 'DoorError'
  readonly code: string
  readonly errno: number
  readonly syscall: string

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

export function invalid(syscall: string, detail: string): DoorError {
  return new DoorError(E.EINVAL, syscall, { detail })
}

/** Refuses fields that are not known, so that a misspelt one does not go unheard. */
export function checkFields(options: object, known: readonly string[], syscall: string): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) {
      throw invalid(syscall, `there is no option ${name}; there are ${known.join(', ')}`)
    }
  }
}

/** The errno of a system error of Node's or of @x/fdpass, where it has one. */
export function errnoOf(error: unknown): number | undefined {
  const { errno } = (error ?? {}) as { errno?: unknown }
  return typeof errno === 'number' ? errno : undefined
}
