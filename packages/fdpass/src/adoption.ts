import { binding } from './binding.ts'
import { EEXIST, EINVAL } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { FdKind } from './fd-kind.ts'
import { fileFlagsOf } from './file-flags.ts'
import { invalid } from './options.ts'

/** What one of Node's classes takes over: an Fd. Its holder has nothing any more when Node has the number. */
export interface Adoptable {
  readonly fd: number
  readonly kind: FdKind
  take(): number
  close(): void
}

export interface NonblockingOptions {
  /**
   * Whether the open file description may be made non-blocking (O_NONBLOCK), for all processes that share it: Node does
   * that to what it adopts. Without that, one that blocks is refused.
   */
  nonblocking?: boolean | undefined
}

export const O_NONBLOCK = 0o4000
const O_ACCMODE = 0o3
const O_WRONLY = 0o1
const O_RDWR = 0o2

const fitting: Readonly<Partial<Record<FdKind, string>>> = {
  file: 'toFileHandle()',
  memfd: 'toFileHandle()',
  directory: 'toFileHandle()',
  'block-device': 'toFileHandle()',
  'character-device': 'toFileHandle()',
  tty: 'toTty()',
  pipe: 'toSocket()',
  fifo: 'toSocket()',
  path: 'reopen(), and then what its file can become,',
  tcp: 'toSocket()',
  'tcp-listener': 'toServer()',
  udp: 'toDgram()',
  'unix-stream': 'toSocket(), or FdSocket.from(),',
  'unix-stream-listener': 'toServer(), or FdListener.from(),',
  'unix-seqpacket': 'FdSocket.from()',
  'unix-seqpacket-listener': 'FdListener.from()',
  'unix-dgram': 'FdSocket.from()',
}

/** Refuses what Node's class cannot be made of, and says what can. */
export function checkKind(fd: Adoptable, kinds: readonly FdKind[], into: string): FdKind {
  const { kind } = fd
  if (kinds.includes(kind)) return kind
  const other = fitting[kind]
  throw invalid(
    'adopt',
    `${kind} cannot become a ${into}; ` +
      (other === undefined ? 'Node has no class for it, only its number can be used' : `${other} takes it`),
  )
}

/** What a descriptor is open for, by the flags that fcntl(2) tells of it. */
export function accessOf(flags: number): { mode: number; readable: boolean; writable: boolean } {
  const mode = flags & O_ACCMODE
  return { mode, readable: mode !== O_WRONLY, writable: mode === O_WRONLY || mode === O_RDWR }
}

/**
 * Before Node has a number, and makes its description non-blocking: refuses one that blocks, unless it was asked for.
 * Returns what undoes that, where Node has not taken it in the end.
 */
export function allowNonblocking(number: number, options: NonblockingOptions): () => void {
  const blocking = (fileFlagsOf(number) & O_NONBLOCK) === 0
  if (blocking && options.nonblocking !== true) {
    throw invalid(
      'adopt',
      'it is in blocking mode, for all that share it; { nonblocking: true } changes that',
    )
  }
  return () => {
    if (blocking) binding.setBlocking(number, true)
  }
}

/** Has Node take the Fd's number; when it does not, all is as before. */
export function handOver<T>(fd: Adoptable, options: NonblockingOptions, adopt: (number: number) => T): T {
  const undo = allowNonblocking(fd.fd, options)
  let adopted: T
  try {
    adopted = adopt(fd.fd)
  } catch (error) {
    undo()
    throw error
  }
  fd.take()
  return adopted
}

/** Has Node take another number in the Fd's place; when it does not, the Fd is as before. */
export function inPlaceOf<T>(fd: Adoptable, other: number, adopt: (number: number) => T): T {
  let adopted: T
  try {
    adopted = adopt(other)
  } catch (error) {
    binding.close(other)
    throw error
  }
  binding.take(other)
  fd.close()
  return adopted
}

/** What Node threw, as an error of this package. */
export function notAdopted(into: string, cause: unknown): FdPassError {
  const { errno } = cause as NodeJS.ErrnoException
  const known = typeof errno === 'number' && errno < 0 ? errno : EINVAL
  const detail =
    known === EEXIST
      ? 'the event loop of this thread has this number already: another owner is left'
      : `Node makes no ${into} of it: ${cause instanceof Error ? cause.message : String(cause)}`
  return new FdPassError(known, 'adopt', { detail, cause })
}

/** The same of a call. */
export function byNode<T>(into: string, make: () => T): T {
  try {
    return make()
  } catch (cause) {
    throw notAdopted(into, cause)
  }
}

export function checkFlags<O extends object>(options: O, names: readonly (keyof O & string)[]): void {
  for (const name of names) {
    const value: unknown = options[name]
    if (value !== undefined && typeof value !== 'boolean') throw invalid('adopt', `${name} is a boolean`)
  }
}
