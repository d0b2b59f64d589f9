import { Socket } from 'node:net'
import {
  accessOf,
  byNode,
  checkFlags,
  checkKind,
  handOver,
  inPlaceOf,
  O_NONBLOCK,
  type Adoptable,
  type NonblockingOptions,
} from './adoption.ts'
import { binding } from './binding.ts'
import { FdPassError } from './errors.ts'
import type { FdKind } from './fd-kind.ts'
import { fileFlagsOf } from './file-flags.ts'
import { checkFields, invalid } from './options.ts'

export interface AdoptedSocketOptions extends NonblockingOptions {
  /** Whether it is read: yes, unless told or a pipe’s end for writing. Node reads ahead at once. */
  readable?: boolean | undefined
  /** Whether it can be written: yes, unless told or a pipe’s end for reading. */
  writable?: boolean | undefined
  /** Whether this end stays open when the other has ended: no, unless told, as in node:net. */
  allowHalfOpen?: boolean | undefined
}

const kinds: readonly FdKind[] = ['tcp', 'unix-stream', 'pipe', 'fifo']
const directions = ['readable', 'writable'] as const
const names = [...directions, 'allowHalfOpen', 'nonblocking'] as const
const O_DIRECT = 0o40000

type SocketOptions = Omit<AdoptedSocketOptions, 'nonblocking'>

const make = (fd: number, options: SocketOptions): Socket =>
  byNode('net.Socket', () => new Socket({ fd, ...options }))

export function toSocket(fd: Adoptable, options: AdoptedSocketOptions): Socket {
  checkFields(options, names, 'adopt')
  checkFlags(options, names)
  const kind = checkKind(fd, kinds, 'net.Socket')
  const { readable = true, writable = true, allowHalfOpen = false } = options
  if (kind === 'pipe' || kind === 'fifo') return ofPipe(fd, { ...options, allowHalfOpen })
  return handOver(fd, options, (number) => make(number, { readable, writable, allowHalfOpen }))
}

/** A pipe has directions; and one that blocks can be opened anew, so that nothing changes for those who share it. */
function ofPipe(fd: Adoptable, options: AdoptedSocketOptions): Socket {
  const flags = fileFlagsOf(fd.fd)
  const access = accessOf(flags)
  for (const direction of directions) {
    if (options[direction] === true && !access[direction]) {
      throw invalid('adopt', `this end of the ${fd.kind} is not ${direction}`)
    }
  }
  const { readable = access.readable, writable = access.writable, allowHalfOpen } = options
  const socketOptions = { readable, writable, allowHalfOpen }
  if ((flags & O_NONBLOCK) !== 0 || options.nonblocking === true) {
    return handOver(fd, options, (number) => make(number, socketOptions))
  }
  return inPlaceOf(fd, reopened(fd.fd, flags), (number) => make(number, socketOptions))
}

function reopened(number: number, flags: number): number {
  const detail =
    'a pipe in blocking mode is opened anew, by /proc, to leave the mode as it is for others; ' +
    'where that cannot be, { nonblocking: true } changes it for all'
  const { mode, writable } = accessOf(flags)
  // In packet mode each write is a packet, and no open(2) has that.
  if (writable && (flags & O_DIRECT) !== 0)
    throw invalid('adopt', `it is in packet mode, O_DIRECT; ${detail}`)
  const own = binding.reopen(number, mode | O_NONBLOCK)
  if (own < 0) throw new FdPassError(own, 'open', { detail })
  return own
}
