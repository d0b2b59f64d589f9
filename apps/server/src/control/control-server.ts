import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import * as v from 'valibot'
import {
  longestBody,
  mountRequestSchema,
  reloadRequestSchema,
  replaceRequestSchema,
  restartRequestSchema,
  unmountRequestSchema,
} from './control-protocol.ts'
import type { Control } from './control-protocol.ts'
import { inodeOf, listenBeside, listenPrivately, removeOwn } from './control-socket.ts'
import { codeOf, messageOf } from '../errors.ts'
import { expositionType } from '../metrics/exposition.ts'
import { issueLines } from '../config/strict-object.ts'

interface Answer {
  status: number
  /** An object goes as JSON; a text needs a Content-Type in the headers. */
  body: object | string
  headers?: Record<string, string>
}

type Route = (control: Control, request: IncomingMessage) => Answer | Promise<Answer>

const routes: Readonly<Record<string, { method: 'GET' | 'POST'; run: Route }>> = {
  '/mounts': { method: 'GET', run: (control) => ({ status: 200, body: { mounts: control.mounts() } }) },
  '/status': { method: 'GET', run: (control) => ({ status: 200, body: control.status() }) },
  '/metrics': {
    method: 'GET',
    run: (control) => ({ status: 200, body: control.metrics(), headers: { 'content-type': expositionType } }),
  },
  '/healthz': { method: 'GET', run: (control) => ({ status: 200, body: control.health() }) },
  '/readyz': {
    method: 'GET',
    run(control) {
      const health = control.health()
      return { status: health.ready ? 200 : 503, body: health }
    },
  },
  '/mount': {
    method: 'POST',
    async run(control, request) {
      return {
        status: 201,
        body: { mount: await control.mount(await readBody(request, mountRequestSchema)) },
      }
    },
  },
  '/replace': {
    method: 'POST',
    async run(control, request) {
      const { mount, drained } = await control.replace(await readBody(request, replaceRequestSchema))
      await drained
      return { status: 200, body: { mount } }
    },
  },
  '/restart': {
    method: 'POST',
    async run(control, request) {
      return { status: 200, body: await control.restart(await readBody(request, restartRequestSchema)) }
    },
  },
  '/unmount': {
    method: 'POST',
    async run(control, request) {
      await control.unmount(await readBody(request, unmountRequestSchema))
      return { status: 200, body: {} }
    },
  },
  '/reload': {
    method: 'POST',
    async run(control, request) {
      await readBody(request, reloadRequestSchema)
      return { status: 200, body: await control.reload() }
    },
  },
}

/** A refusal by the protocol itself, before the control is asked. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Statuses for the codes that a {@link Control} reports; any other is a fault of the server. */
const statuses: Readonly<Record<string, number>> = {
  EINVAL: 400,
  ERR_MOUNT_HOST: 400,
  ERR_MOUNT_PREFIX: 400,
  ERR_MOUNT_PREFIX_EMPTY: 400,
  ERR_MOUNT_PREFIX_FORM: 400,
  ERR_MOUNT_PREFIX_LENGTH: 400,
  ERR_MOUNT_SPEC: 400,
  ERR_MOUNT_NOT_FOUND: 404,
  ERR_MOUNT_TAKEN: 409,
  ERR_MOUNT_DRAINING_LIMIT: 409,
  ERR_MOUNT_NO_PREVIOUS: 409,
  ERR_CONFIG: 422,
  ERR_CONFIG_IN_PLACE: 422,
  ERR_HANDLER_MODULE: 422,
  ERR_MOUNT_INIT: 422,
  ERR_MOUNT_PREPARE: 422,
  EBADF: 503,
  ERR_MOUNT_GENERATIONS: 503,
  ERR_MOUNT_MEMBERS: 503,
  ERR_MOUNT_SLOTS: 503,
  ERR_MOUNT_STOPPING: 503,
  ERR_MOUNT_DRAIN_DEADLINE: 504,
  ETIMEDOUT: 504,
}

/** Serves a {@link Control} at a socket until it is closed. */
export class ControlServer implements AsyncDisposable {
  readonly path: string
  readonly #server: Server
  /** Of a server beside the path: puts it there. */
  #claim: (() => void) | undefined
  /** Of the socket that has been put there: closing the server does not take that away. */
  #inode: bigint | undefined
  /** Each command has one of its own. */
  readonly #connections = new Set<Socket>()
  #allGone: (() => void) | undefined
  #closed: Promise<void> | undefined

  private constructor(server: Server, path: string) {
    this.#server = server
    this.path = path
    server.on('connection', (socket: Socket) => {
      this.#connections.add(socket)
      socket.once('close', () => {
        this.#connections.delete(socket)
        if (this.#connections.size === 0) this.#allGone?.()
      })
    })
  }

  /**
   * Resolves once commands are taken.
   * @throws {ControlError} ERR_CONTROL_IN_USE or ERR_CONTROL_PATH; other errors are those of bind(2).
   */
  static async listen(path: string, control: Control): Promise<ControlServer> {
    const server = serverOf(control)
    await listenPrivately(server, path)
    return new ControlServer(server, path)
  }

  /** The same beside the path, where another server takes commands until this one is to: see {@link claim}. */
  static async listenBeside(path: string, control: Control): Promise<ControlServer> {
    const server = serverOf(control)
    const result = new ControlServer(server, path)
    result.#claim = await listenBeside(server, path)
    return result
  }

  /** Takes the commands from now on. */
  claim(): void {
    if (this.#claim === undefined) return
    this.#claim()
    this.#claim = undefined
    this.#inode = inodeOf(this.path)
  }

  /** Stops to listen, removes the socket, and waits up to a second for the commands in progress. */
  close(): Promise<void> {
    this.#closed ??= this.#finish(true)
    return this.#closed
  }

  /** The socket is another process's by now: waits for the commands in progress only. */
  leave(): Promise<void> {
    this.#closed ??= this.#finish(false)
    return this.#closed
  }

  async #finish(closes: boolean): Promise<void> {
    const server = this.#server
    server.closeIdleConnections()
    const idle = new Promise<void>((resolve) => {
      // To close it would remove the path, whoever's socket is there.
      if (closes)
        server.close(() => {
          resolve()
        })
      else if (this.#connections.size === 0) resolve()
      else this.#allGone = resolve
    })
    const cut = setTimeout(() => {
      server.closeAllConnections()
    }, 1000)
    await idle
    clearTimeout(cut)
    if (closes && this.#inode !== undefined) removeOwn(this.path, this.#inode)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

const serverOf = (control: Control): Server =>
  createServer(
    { headersTimeout: 10_000, requestTimeout: 10_000, keepAliveTimeout: 1000, maxHeaderSize: 8192 },
    (request, response) => void answer(control, request, response),
  )

async function answer(control: Control, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { status, body, headers } = await route(control, request).catch(errorAnswer)
  const bytes = Buffer.from(typeof body === 'string' ? body : `${JSON.stringify(body)}\n`)
  // A command a connection: what a refused body leaves unread is never taken for the next request.
  const closing = { 'content-type': 'application/json', 'content-length': bytes.length, connection: 'close' }
  response.writeHead(status, { ...closing, ...headers }).end(bytes)
}

async function route(control: Control, request: IncomingMessage): Promise<Answer> {
  const path = request.url ?? ''
  const found = Object.hasOwn(routes, path) ? routes[path] : undefined
  if (found === undefined) {
    throw new Refusal(404, `there is no ${path}; use ${Object.keys(routes).join(', ')}`)
  }
  if (request.method !== found.method) {
    const refused = errorAnswer(new Refusal(405, `${path} takes ${found.method} only`))
    return { ...refused, headers: { allow: found.method } }
  }
  return found.run(control, request)
}

function errorAnswer(error: unknown): Answer {
  const message = messageOf(error)
  if (error instanceof Refusal)
    return { status: error.status, body: { error: { code: 'ERR_CONTROL_PROTOCOL', message } } }
  const code = codeOf(error)
  return {
    status: statuses[code] ?? 500,
    body: { error: { code: code === '' ? 'ERR_INTERNAL' : code, message } },
  }
}

async function readBody<T>(request: IncomingMessage, schema: v.GenericSchema<unknown, T>): Promise<T> {
  const type = request.headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  if (type !== 'application/json') throw new Refusal(415, 'send Content-Type: application/json')
  const parsed = v.safeParse(schema, parseJson(await readBytes(request)))
  if (!parsed.success) throw new Refusal(400, issueLines(parsed.issues).join('; '))
  return parsed.output
}

async function readBytes(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  // Left without destroying the request, so that a body that is too long still gets its answer.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > longestBody) throw new Refusal(413, `the body has more than ${longestBody} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch (error) {
    throw new Refusal(400, `the body is not JSON: ${messageOf(error)}`)
  }
}
