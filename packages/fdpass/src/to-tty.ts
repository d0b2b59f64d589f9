import { ReadStream, WriteStream } from 'node:tty'
import { accessOf, byNode, checkKind, type Adoptable } from './adoption.ts'
import { binding, Slot } from './binding.ts'
import { FdPassError } from './errors.ts'
import { fileFlagsOf } from './file-flags.ts'
import { invalid } from './options.ts'

const O_RDWR = 0o2
/** O_APPEND, which means nothing to a terminal: a mark of a description that was opened here. */
const MARK = 0o2000

interface Streams {
  read: ReadStream
  write: WriteStream
}

const make = <D extends keyof Streams>(direction: D, number: number): Streams[D] =>
  byNode('terminal', () =>
    direction === 'read' ? new ReadStream(number) : new WriteStream(number),
  ) as Streams[D]

export function toTty<D extends keyof Streams>(fd: Adoptable, direction: D): Streams[D] {
  if (!['read', 'write'].includes(direction)) throw invalid('adopt', 'a terminal is for read or write')
  checkKind(fd, ['tty'], 'terminal')
  const access = accessOf(fileFlagsOf(fd.fd))
  if (!access[direction === 'read' ? 'readable' : 'writable']) {
    throw invalid('adopt', `this descriptor of the terminal is not open to ${direction}`)
  }
  const { device, master } = terminal(fd.fd)
  if (!master) return ofSlave(fd, direction, access.mode, device)
  // Node takes a master as it is: what is left alone for a ReadStream is set to block, for all, for a WriteStream.
  if (direction === 'write' || access.mode !== O_RDWR) {
    throw invalid('adopt', 'the master of a pty is for read, open for both; its ReadStream writes too')
  }
  const stream = make(direction, fd.fd)
  fd.take()
  return stream
}

/** A terminal is opened anew, so that Node's O_NONBLOCK is not that of others. */
function ofSlave<D extends keyof Streams>(
  fd: Adoptable,
  direction: D,
  mode: number,
  device: number,
): Streams[D] {
  const own = binding.reopen(fd.fd, mode | MARK)
  if (own < 0) {
    throw new FdPassError(own, 'open', {
      detail: 'a terminal is opened anew, by /proc, to leave its O_NONBLOCK as it is for others',
    })
  }
  let stream: Streams[D]
  try {
    if (terminal(own).device !== device) {
      throw invalid('adopt', 'its name, /dev/tty or the like, is another terminal’s in this process')
    }
    stream = make(direction, own)
  } catch (error) {
    binding.close(own)
    throw error
  }
  // Node opens it once more, by its name, where it can, and leaves us a duplicate of that. Where not, it has `own`.
  if ((fileFlagsOf(own) & MARK) === 0) binding.close(own)
  else binding.take(own)
  fd.close()
  return stream
}

function terminal(number: number): { device: number; master: boolean } {
  const error = binding.terminal(number)
  if (error < 0) throw new FdPassError(error, 'ioctl')
  const [device = 0, master] = binding.numbers.subarray(Slot.descriptors)
  return { device, master: master === 1 }
}
