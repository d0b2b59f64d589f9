import { getSystemErrorMap } from 'node:util'

const brand: unique symbol = Symbol.for('@x/kevent.KEventError') as never

/** What people can do about an errno, where the kernel's own sentence does not say. */
const remedies: Readonly<Record<string, string>> = {
  EBADF: 'the queue or the descriptor is closed',
  EBUSY:
    'this KQueue is consumed in the event loop already, or a handle of Node’s reads the descriptor; stop that first',
  EINPROGRESS: 'a handler has the event; the knote goes with the last one that its EV_ENABLE brings',
  EINVAL: 'unknown or contradictory flags, fflags, filter, or timeout',
  EMFILE: 'no descriptor is left, or no inotify instance: see fs.inotify.max_user_instances',
  ENOENT: 'no such knote in this queue; add it with EV_ADD',
  ENOSPC: 'no watch is left: see fs.inotify.max_user_watches and fs.epoll.max_user_watches',
  ENOTSUP: 'this environment has no libuv loop to wait in',
  ENXIO: 'this filter does not exist on Linux, or needs /proc, which is not mounted',
  EPERM: 'this kind of file cannot be watched so; of regular files READ and VNODE can',
}

const unknownToNode: ReadonlyMap<number, [string, string]> = new Map([
  [-115, ['EINPROGRESS', 'operation now in progress']],
])

/**
 * A failed call on a queue. `code`, `errno` (negative) and `syscall` are as in Node's own system errors.
 * Branded, so that `instanceof` holds between two copies of this package.
 */
export class KEventError extends Error {
  override readonly name: string = 'KEventError'
  readonly code: string
  readonly errno: number
  readonly syscall: string

  /** `errno` is negative, as the kernel gave it. */
  constructor(errno: number, syscall: string) {
    const [code, sentence] = getSystemErrorMap().get(errno) ??
      unknownToNode.get(errno) ?? [`E${-errno}`, 'unknown error']
    const remedy = remedies[code]
    super(`${syscall}: ${code}, ${sentence}${remedy === undefined ? '' : ` (${remedy})`}`)
    this.code = code
    this.errno = errno
    this.syscall = syscall
    Object.defineProperty(this, brand, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value
  }
}
