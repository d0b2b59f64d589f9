import { binding, Slot } from './binding.ts'
import { ENOPROTOOPT } from './errno.ts'
import { FdPassError } from './errors.ts'
import { Fd } from './fd.ts'
import { checkCount, invalid } from './options.ts'
import { SOCK, type ReceiveRules, type SocketType } from './socket-options.ts'

const AF_UNIX = 1
const SO_SNDBUF = 7
const SO_RCVBUF = 8
const SO_PASSCRED = 16
const SO_PASSPIDFD = 76
const SO_PASSRIGHTS = 83

/** Sizes of the kernel's buffers, which the kernel doubles and limits (socket(7)). */
export interface BufferOptions {
  /** SO_SNDBUF, in bytes. A packet is at most as long as it is, less 32. */
  sendBuffer?: number | undefined
  /** SO_RCVBUF, in bytes. */
  receiveBuffer?: number | undefined
}

export const bufferFields: readonly string[] = ['sendBuffer', 'receiveBuffer']

function set(socket: number, option: number, value: number): number {
  const error = binding.setOption(socket, option, value)
  if (error < 0 && error !== ENOPROTOOPT) throw new FdPassError(error, 'setsockopt')
  return error
}

/** Tells the kernel of a socket what its rules ask for. */
export function setUp(socket: number, rules: ReceiveRules, options: BufferOptions): void {
  for (const [name, option] of [['sendBuffer', SO_SNDBUF] as const, ['receiveBuffer', SO_RCVBUF] as const]) {
    const size = options[name]
    if (size !== undefined) set(socket, option, checkCount(size, name, 0x7fffffff, 'setsockopt'))
  }
  if (rules.credentials) set(socket, SO_PASSCRED, 1)
  if (rules.pidfd && set(socket, SO_PASSPIDFD, 1) < 0) throw new FdPassError(ENOPROTOOPT, 'setsockopt')
  // A kernel without it delivers descriptors all the same; the rules, which allow none, have them closed then.
  if (!rules.rights) set(socket, SO_PASSRIGHTS, 0)
}

/** What `prepare` makes of new sockets, which are closed again when it throws. */
export function prepared<T>(sockets: readonly number[], prepare: () => T): T {
  try {
    return prepare()
  } catch (error) {
    for (const socket of sockets) binding.close(socket)
    throw error
  }
}

/** A new socket, and what `prepare` makes of it. */
export function makeSocket<T>(type: SocketType, prepare: (socket: number) => T): [number, T] {
  const socket = binding.socket(SOCK[type])
  if (socket < 0) throw new FdPassError(socket, 'socket')
  return [socket, prepared([socket], () => prepare(socket))]
}

export interface InheritedSocket {
  readonly type: SocketType
  readonly listening: boolean
  readonly blocking: boolean
}

/** What a Unix socket that was made elsewhere is. Throws FdPassError ENOTSOCK, EINVAL for one of another family. */
export function inspect(descriptor: number): InheritedSocket {
  const error = binding.status(descriptor)
  if (error < 0) throw new FdPassError(error, 'getsockopt')
  const [domain, type, listening, blocking] = binding.numbers.subarray(Slot.descriptors)
  const name = (Object.keys(SOCK) as SocketType[]).find((each) => SOCK[each] === type)
  if (domain !== AF_UNIX || name === undefined) {
    throw invalid('getsockopt', 'only Unix sockets of type stream, seqpacket or dgram carry descriptors')
  }
  return { type: name, listening: listening === 1, blocking: blocking === 1 }
}

/** Looks at a descriptor and then takes it from its owner, who keeps it when `prepare` throws. */
export function adopt<T>(given: Fd | number, prepare: (socket: number) => T): [number, T] {
  const fd = typeof given === 'number' ? Fd.from(given) : given
  try {
    const prepared = prepare(fd.fd)
    const number = fd.take()
    binding.adopt(number)
    return [number, prepared]
  } catch (error) {
    // An Fd that was made here is given back to whoever has its number.
    if (typeof given === 'number' && fd.fd >= 0) fd.take()
    throw error
  }
}
