import { createSocket, type Socket } from 'node:dgram'
import {
  allowNonblocking,
  byNode,
  checkFlags,
  checkKind,
  handOver,
  inPlaceOf,
  type Adoptable,
  type NonblockingOptions,
} from './adoption.ts'
import { binding, Slot } from './binding.ts'
import { EISCONN } from './errno.ts'
import { FdPassError } from './errors.ts'
import { checkFields } from './options.ts'

const AF_INET6 = 10

const make = (type: 'udp4' | 'udp6', fd: number): Socket => {
  const socket = createSocket(type)
  try {
    // Exclusive: in a worker of node:cluster the number would else be one of the primary process.
    byNode('dgram.Socket', () => socket.bind({ fd, exclusive: true }))
  } catch (error) {
    socket.close()
    throw error
  }
  return socket
}

export function toDgram(fd: Adoptable, options: NonblockingOptions): Socket {
  checkFields(options, ['nonblocking'], 'adopt')
  checkFlags(options, ['nonblocking'])
  checkKind(fd, ['udp'], 'dgram.Socket')
  if (typeof binding.peerName(fd.fd) === 'string') {
    throw new FdPassError(EISCONN, 'adopt', {
      detail: 'Node can neither send on a connected socket that it did not connect itself, nor disconnect it',
    })
  }
  const error = binding.status(fd.fd)
  if (error < 0) throw new FdPassError(error, 'getsockopt')
  const type = binding.numbers[Slot.descriptors] === AF_INET6 ? 'udp6' : 'udp4'
  if (fd.fd > 0) return handOver(fd, options, (number) => make(type, number))
  const undo = allowNonblocking(0, options)
  try {
    return inPlaceOf(fd, duplicate(0), (number) => make(type, number))
  } catch (error) {
    undo()
    throw error
  }
}

/** To `bind` a descriptor 0 is none. */
function duplicate(number: number): number {
  const other = binding.duplicate(number)
  if (other < 0) throw new FdPassError(other, 'dup')
  return other
}
