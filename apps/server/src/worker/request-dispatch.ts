import { Http1Error, methods } from '@x/http1'
import type { Engine, HttpRequest } from '@x/http1'
import { MountTableError } from '@x/mounttable'
import type { Lease, MountTableMember } from '@x/mounttable'
import type { Logger } from 'pino'
import type { MountSpec, ResponseLike } from '../handler.ts'
import type { AccessLog } from './access-log.ts'
import type { EventStreams } from './event-streams.ts'
import type { MountedHandler } from './mounted-handler.ts'
import type { ServerMemory } from './server-memory.ts'

type HandlerLease = Lease<MountedHandler, MountSpec>

const plain = { 'content-type': 'text/plain; charset=utf-8' }
const notFound: ResponseLike = { status: 404, headers: plain, body: '404: nothing is mounted here\n' }
// OPTIONS * asks about the server and not about anything in it, so that no mount sees it (RFC 9110 section 9.3.7).
const wholeServer: ResponseLike = { headers: { allow: methods.join(', ') } }
const badTarget: ResponseLike = {
  status: 400,
  headers: plain,
  body: '400: the target climbs above the root\n',
}
const stopping: ResponseLike = {
  status: 503,
  headers: { ...plain, connection: 'close' },
  body: '503: the server is stopping\n',
}
const failed: ResponseLike = { status: 500, headers: plain, body: '500: the handler failed\n' }

export interface RequestDispatchParts {
  readonly table: MountTableMember<MountSpec, MountedHandler>
  readonly engine: Engine
  readonly memory: ServerMemory
  readonly log: Logger
  readonly accessLog: AccessLog | undefined
  readonly streams: EventStreams
}

/**
 * From a request to its handler and back. The lease that was taken with the lookup is returned when the
 * response is with the engine, and for a streamed body when its last byte is: exactly once, whatever happens.
 */
export class RequestDispatch {
  readonly #table: MountTableMember<MountSpec, MountedHandler>
  readonly #engine: Engine
  readonly #memory: ServerMemory
  readonly #log: Logger
  readonly #accessLog: AccessLog | undefined
  readonly #streams: EventStreams
  #active = 0

  constructor({ table, engine, memory, log, accessLog, streams }: RequestDispatchParts) {
    this.#accessLog = accessLog
    this.#table = table
    this.#engine = engine
    this.#memory = memory
    this.#log = log
    this.#streams = streams
  }

  /** Requests whose handler or response body is still at work, after their turn of the loop. */
  get active(): number {
    return this.#active
  }

  dispatch(request: HttpRequest): void {
    this.#accessLog?.begin(request)
    const lease = this.#lookup(request)
    if (lease === undefined) {
      this.#accessLog?.end(request)
      return
    }
    const { handler } = lease
    let answer: ResponseLike | Promise<ResponseLike> | undefined
    try {
      const context = handler.context(lease.rest, () => AbortSignal.any([request.signal, lease.signal]))
      answer = handler.module.handle(request, context)
    } catch (error) {
      this.#fail(request, lease, error)
      this.#end(request, lease)
      return
    }
    if (isPromise(answer)) {
      void this.#settle(request, lease, answer)
      return
    }
    const sending = this.#respond(request, lease, answer)
    if (sending === undefined) this.#end(request, lease)
    else void this.#settle(request, lease, undefined, sending)
  }

  #end(request: HttpRequest, lease: HandlerLease): void {
    this.#accessLog?.end(request, lease.mount)
    lease.release()
  }

  /** A lease, or undefined after an answer of the server's own. */
  #lookup(request: HttpRequest): HandlerLease | undefined {
    try {
      const lease = this.#table.lookup(request.target, request.host)
      if (lease === undefined) this.#answer(request, this.#unmounted(request))
      return lease
    } catch (error) {
      if (!(error instanceof MountTableError)) throw error
      this.#answer(request, error.code === 'ERR_MOUNT_TARGET' ? badTarget : stopping)
      return undefined
    }
  }

  #unmounted(request: HttpRequest): ResponseLike {
    if (this.#table.stopping) return stopping
    return request.target === '*' ? wholeServer : notFound
  }

  async #settle(
    request: HttpRequest,
    lease: HandlerLease,
    answer: Promise<ResponseLike> | undefined,
    sending?: Promise<void>,
  ): Promise<void> {
    this.#active++
    try {
      await (answer === undefined ? sending : this.#respond(request, lease, await answer))
    } catch (error) {
      this.#fail(request, lease, error)
    } finally {
      this.#active--
      this.#end(request, lease)
    }
  }

  /** Hands the response to the engine. A response that cannot be sent is the handler's failure. */
  #respond(
    request: HttpRequest,
    lease: HandlerLease,
    response: ResponseLike | undefined,
  ): Promise<void> | undefined {
    try {
      if (response === undefined) throw new TypeError('handle() has returned nothing; return a response')
      const sending = this.#engine.respond(request, this.#memory.closing ? lastResponse(response) : response)
      this.#accessLog?.answered(request, response.status)
      if (sending !== undefined) this.#streams.watch(response)
      return sending
    } catch (error) {
      this.#fail(request, lease, error)
      return undefined
    }
  }

  /** An answer of the server's own. Where the handler's has begun, the client sees that it is cut off. */
  #answer(request: HttpRequest, response: ResponseLike): void {
    try {
      void this.#engine.respond(request, this.#memory.closing ? lastResponse(response) : response)
      this.#accessLog?.answered(request, response.status)
    } catch (error) {
      if (!(error instanceof Http1Error && error.code === 'ERR_HTTP_ANSWERED')) throw error
    }
  }

  #fail(request: HttpRequest, lease: HandlerLease, error: unknown): void {
    // The client's own doing, with the status that tells it so.
    const status = error instanceof Http1Error && error.status !== 500 ? error.status : undefined
    const gone = error instanceof Http1Error && error.code === 'ERR_HTTP_CLIENT_GONE'
    if (status === undefined && !gone) {
      const { prefix, generation } = lease.mount
      this.#log.error({ err: error, mount: prefix, generation, ...named(request) }, 'the handler failed')
    }
    // A client that is gone reads no answer, but only an answer ends its connection.
    const body = `${status}: ${error instanceof Error ? error.message : ''}\n`
    this.#answer(request, status === undefined ? failed : { status, headers: plain, body })
  }
}

/** What the log names a request by. Of one that is over, as after a body that failed, it may be gone. */
function named(request: HttpRequest): { method?: string; target?: string; request: string } {
  const { id } = request
  try {
    return { request: id, method: request.method, target: request.target }
  } catch {
    return { request: id }
  }
}

/** The same response, after which the connection closes. */
function lastResponse(response: ResponseLike): ResponseLike {
  const { status, headers = [], body, trailers } = response
  const fields = Symbol.iterator in headers ? [...headers] : Object.entries(headers).flatMap(separately)
  const others = fields.filter(([name]) => name.toLowerCase() !== 'connection')
  return { status, headers: [...others, ['connection', 'close']], body, trailers }
}

function separately([name, value]: [string, string | number | readonly string[]]): [string, string][] {
  const values = typeof value === 'object' ? value : [String(value)]
  return values.map((each) => [name, each])
}

// A handler that forgot to return has given neither.
function isPromise(
  answer: ResponseLike | Promise<ResponseLike> | undefined,
): answer is Promise<ResponseLike> {
  return typeof (answer as Partial<Promise<ResponseLike>> | undefined)?.then === 'function'
}
