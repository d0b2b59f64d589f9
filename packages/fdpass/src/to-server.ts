import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer, type Server, type ServerOpts, type Socket } from 'node:net'
import {
  allowNonblocking,
  byNode,
  checkFlags,
  checkKind,
  notAdopted,
  type Adoptable,
  type NonblockingOptions,
} from './adoption.ts'
import { binding } from './binding.ts'
import { EOPNOTSUPP } from './errno.ts'
import { FdPassError } from './errors.ts'
import type { FdKind } from './fd-kind.ts'
import { checkCount, checkFields } from './options.ts'

/** Options of `net.createServer`, and those of the listener. */
export interface AdoptedServerOptions
  extends
    NonblockingOptions,
    Pick<
      ServerOpts,
      'allowHalfOpen' | 'highWaterMark' | 'keepAlive' | 'keepAliveInitialDelay' | 'noDelay' | 'pauseOnConnect'
    > {
  /** How many connections may wait to be accepted, by all that share the listener: Node sets it anew, to 511 unless told. */
  backlog?: number | undefined
}

const kinds: readonly FdKind[] = ['tcp-listener', 'unix-stream-listener']
const names = [
  'allowHalfOpen',
  'highWaterMark',
  'keepAlive',
  'keepAliveInitialDelay',
  'noDelay',
  'pauseOnConnect',
  'backlog',
  'nonblocking',
]

export async function toServer(
  fd: Adoptable,
  options: AdoptedServerOptions,
  connectionListener?: (socket: Socket) => void,
): Promise<Server> {
  checkFields(options, names, 'adopt')
  checkFlags(options, ['nonblocking'])
  const { backlog = 511, nonblocking, ...serverOptions } = options
  checkCount(backlog, 'backlog', 0x7fffffff, 'listen')
  checkKind(fd, kinds, 'net.Server')
  if (cluster.isWorker) {
    throw new FdPassError(EOPNOTSUPP, 'listen', {
      detail:
        'in a worker of node:cluster, server.listen({ fd }) is about a descriptor of the primary process',
    })
  }
  const server = byNode('net.Server', () => createServer(serverOptions, connectionListener))
  const undo = allowNonblocking(fd.fd, { nonblocking })
  // Node closes a descriptor whose listen(2) fails, and leaves one open that fails before: here it fails before.
  const error = binding.listen(fd.fd, backlog)
  if (error < 0) throw new FdPassError(error, 'listen')
  const listening = once(server, 'listening')
  server.listen({ fd: fd.fd })
  // It listens at once, or not at all; the event says why.
  if (server.listening) {
    // Node takes no backlog beside a descriptor, and has just set its own.
    binding.listen(fd.fd, backlog)
    fd.take()
  } else undo()
  await listening.catch((cause: unknown) => {
    throw notAdopted('net.Server', cause)
  })
  return server
}
