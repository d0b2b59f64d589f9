import { request } from 'node:http'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { FdSocket } from '@x/fdpass'
import { adoptConnection, newConnectionState, releaseConnection } from '@x/http1'
import type { KQueue } from '@x/kevent'
import { ControlError } from '../errors.ts'
import { serveAgain } from './serve-again.ts'

/** Connections at a time, and requests of each: so many that the code of all workers is compiled by then. */
const CONNECTIONS = 8
const REQUESTS = 200
/** Milliseconds for all of it, and for one path. */
const PATIENCE = 30_000
const PATIENCE_AT_END = 1000

/** Asks the workers of this process for `path`, which answers with 204, over connections that nobody else knows of. */
export async function warmUp(queue: KQueue, path: string): Promise<void> {
  const deadline = AbortSignal.timeout(PATIENCE)
  await Promise.all(Array.from({ length: CONNECTIONS }, () => askAgain(queue, path, deadline)))
}

async function askAgain(queue: KQueue, path: string, signal: AbortSignal): Promise<void> {
  const socket = connect(queue)
  try {
    for (let count = 0; count < REQUESTS; count++) {
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      const [answer] = (await once(socket, 'data', { signal })) as [Buffer]
      if (!/^HTTP\/1\.1 2\d\d /u.test(answer.toString('latin1')))
        throw failure('itself', answer.toString('latin1', 9, 12))
    }
  } finally {
    await end(socket)
  }
}

/** Asks the workers for a path of a handler. @throws {ControlError} ERR_SELF_TEST unless the answer is 2xx or 3xx. */
export async function tryPath(queue: KQueue, path: string): Promise<void> {
  const socket = connect(queue)
  const signal = AbortSignal.timeout(PATIENCE)
  try {
    const asked = request({ path, createConnection: () => socket, headers: { host: 'localhost' }, signal })
    asked.end()
    const [{ statusCode = 0 }] = (await once(asked, 'response')) as [{ statusCode?: number }]
    if (statusCode < 200 || statusCode >= 400) throw failure(path, String(statusCode))
  } finally {
    await end(socket)
  }
}

const failure = (path: string, status: string): ControlError =>
  new ControlError(
    'ERR_SELF_TEST',
    `the self-test has got ${status} from ${path}; it wants a status of 2xx or 3xx`,
  )

/** The client's end of a connection that the workers serve as any other. */
function connect(queue: KQueue): Socket {
  const [near, far] = FdSocket.pair({ type: 'stream' })
  const descriptor = far.take()
  adoptConnection(descriptor, newConnectionState(PATIENCE))
  try {
    serveAgain(queue, [descriptor])
  } catch (error) {
    releaseConnection(descriptor)
    near.close()
    throw error
  }
  return new Socket({ fd: near.take() })
}

async function end(socket: Socket): Promise<void> {
  if (socket.closed) return
  const closed = new Promise((resolve) => socket.on('error', () => undefined).once('close', resolve))
  socket.end()
  socket.resume()
  // A handler may not have come to an end.
  const late = setTimeout(() => socket.destroy(), PATIENCE_AT_END)
  await closed
  clearTimeout(late)
}
