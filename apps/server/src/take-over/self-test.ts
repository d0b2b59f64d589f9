import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { FdSocket } from '@x/fdpass'
import { adoptConnection, newConnectionState } from '@x/http1'
import type { KQueue } from '@x/kevent'
import type { MountTable } from '@x/mounttable'
import { ControlError } from '../errors.ts'
import type { MountSpec } from '../handler.ts'
import type { MountedHandler } from '../worker/mounted-handler.ts'
import { serveAgain } from './serve-again.ts'

/** Connections at a time, and requests of each: so many that the code of all workers is compiled by then. */
const CONNECTIONS = 8
const REQUESTS = 200
/** Milliseconds for all of it, and for one path. */
const PATIENCE = 30_000
/** And for the end of each connection, and of the last request. */
const PATIENCE_AT_END = 1000
const PATIENCE_OF_UNMOUNT = 5000

/** Mounts that it makes, and takes away. */
const PREFIX = '/.x-server-self-test-'

/** Whether a mount is the self-test's, of which nobody need hear. */
export const isSelfTest = (prefix: string): boolean => prefix.startsWith(PREFIX)

/**
 * Has the workers answer as they will: what is broken is found while the old process serves, and the first requests do
 * not wait for their code to be compiled.
 * @throws {ControlError} ERR_SELF_TEST for a path whose answer is not 2xx or 3xx.
 */
export async function selfTest(
  queue: KQueue,
  table: MountTable<MountSpec, MountedHandler>,
  paths: readonly string[],
): Promise<void> {
  await warmUp(queue, table)
  for (const path of paths) await tryPath(queue, path)
}

/** Has the workers answer for a page of its own. */
async function warmUp(queue: KQueue, table: MountTable<MountSpec, MountedHandler>): Promise<void> {
  const own = `${PREFIX}${randomUUID()}`
  await table.mount(own, { module: 'builtin:health' })
  const deadline = AbortSignal.timeout(PATIENCE)
  const asking = Array.from({ length: CONNECTIONS }, () => askAgain(queue, own, deadline))
  const [outcome] = await Promise.allSettled([Promise.all(asking)])
  // What it has found counts more than what hinders it to take its page away.
  const gone = table.unmount(own, { deadline: PATIENCE_OF_UNMOUNT })
  if (outcome.status === 'rejected') {
    await gone.catch(() => undefined)
    throw outcome.reason
  }
  await gone
}

/** Over a connection that nobody else knows of. */
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

/** Asks for a path of a handler. */
async function tryPath(queue: KQueue, path: string): Promise<void> {
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
  const [refused] = serveAgain(queue, [descriptor])
  if (refused !== undefined) {
    near.close()
    throw failure('itself', `errno ${refused.errno}`)
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
