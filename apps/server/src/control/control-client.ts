import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { once } from 'node:events'
import { text as readText } from 'node:stream/consumers'
import * as v from 'valibot'
import {
  errorAnswerSchema,
  mountAnswerSchema,
  mountsAnswerSchema,
  reloadAnswerSchema,
  restartAnswerSchema,
  statusAnswerSchema,
  unmountAnswerSchema,
} from './control-protocol.ts'
import type {
  MountRequest,
  ReloadReport,
  ReplaceRequest,
  RestartRequest,
  ServerStatus,
  UnmountRequest,
} from './control-protocol.ts'
import { ControlError, codeOf, messageOf } from '../errors.ts'
import type { RestartReport } from '../take-over/restart-report.ts'
import type { MountRow } from '../status/mount-row.ts'

/** Milliseconds for an answer that waits for nothing. */
const promptly = 10_000
/** Milliseconds for a handler to be loaded in all workers. */
const forLoading = 60_000
/** Milliseconds for the requests that the old process of a restart has in hand: it has a limit of its own. */
const longestWait = 24 * 60 * 60 * 1000
/** Milliseconds for all handlers of a configuration to be tried and then loaded. */
const forReloading = 600_000
/** Milliseconds of a drain when the command names none. */
export const defaultDrain = 30_000

/**
 * Commands to the server behind a control socket, one connection each. Every method ends by its own deadline
 * or by the signal.
 * @throws {ControlError} from every method: ERR_NO_SERVER, ETIMEDOUT, ERR_CONTROL_PROTOCOL, or the server's code.
 */
export class ControlClient {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  async mounts(signal?: AbortSignal): Promise<MountRow[]> {
    return (await this.#send('GET', '/mounts', undefined, mountsAnswerSchema, promptly, signal)).mounts
  }

  status(signal?: AbortSignal): Promise<ServerStatus> {
    return this.#send('GET', '/status', undefined, statusAnswerSchema, promptly, signal)
  }

  async mount(request: MountRequest, signal?: AbortSignal): Promise<MountRow> {
    return (await this.#send('POST', '/mount', request, mountAnswerSchema, forLoading, signal)).mount
  }

  /** Resolves once the old generation has drained. */
  async replace(request: ReplaceRequest, signal?: AbortSignal): Promise<MountRow> {
    const { deadline = defaultDrain } = request
    const body = { ...request, deadline }
    const answer = this.#send('POST', '/replace', body, mountAnswerSchema, forLoading + deadline, signal)
    return (await answer).mount
  }

  /** Resolves once the mount has drained. */
  async unmount(request: UnmountRequest, signal?: AbortSignal): Promise<void> {
    const { deadline = defaultDrain } = request
    const body = { ...request, deadline }
    await this.#send('POST', '/unmount', body, unmountAnswerSchema, promptly + deadline, signal)
  }

  /** Resolves when a new process serves, and with `wait` when the old one has answered all that it had in hand. */
  restart(request: RestartRequest = {}, signal?: AbortSignal): Promise<RestartReport> {
    const limit = forLoading + promptly + (request.wait === true ? longestWait : 0)
    return this.#send('POST', '/restart', request, restartAnswerSchema, limit, signal)
  }

  /** Resolves once everybody finds the new mounts; the old ones may still drain. */
  reload(signal?: AbortSignal): Promise<ReloadReport> {
    return this.#send('POST', '/reload', {}, reloadAnswerSchema, forReloading, signal)
  }

  async #send<T>(
    method: 'GET' | 'POST',
    path: string,
    body: object | undefined,
    schema: v.GenericSchema<unknown, T>,
    patience: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const limit = AbortSignal.timeout(patience)
    const until = signal === undefined ? limit : AbortSignal.any([limit, signal])
    const { status, content } = await this.#exchange(method, path, body, until).catch((error: unknown) => {
      throw this.#failure(error, until)
    })
    return this.#read(status, content, schema)
  }

  async #exchange(
    method: string,
    path: string,
    body: object | undefined,
    signal: AbortSignal,
  ): Promise<{ status: number; content: string }> {
    const bytes = body === undefined ? '' : JSON.stringify(body)
    const headers = { 'content-length': Buffer.byteLength(bytes), 'content-type': 'application/json' }
    const request = httpRequest({ socketPath: this.path, method, path, headers, agent: false, signal })
    request.end(bytes)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode ?? 0, content: await readText(response) }
  }

  #read<T>(status: number, content: string, schema: v.GenericSchema<unknown, T>): T {
    const answer = parseJson(content)
    if (status >= 400) {
      const refusal = v.safeParse(errorAnswerSchema, answer)
      if (!refusal.success) throw this.#stranger()
      throw new ControlError(refusal.output.error.code, refusal.output.error.message)
    }
    const parsed = v.safeParse(schema, answer)
    if (!parsed.success) throw this.#stranger()
    return parsed.output
  }

  #stranger(): ControlError {
    return new ControlError(
      'ERR_CONTROL_PROTOCOL',
      `what answers at ${this.path} is not this server or another version of it; name the right socket with --control`,
    )
  }

  #failure(error: unknown, signal: AbortSignal): ControlError {
    const code = codeOf(error)
    const options = { cause: error }
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      const message = `no server listens at ${this.path}; start one, or name its socket with --control`
      return new ControlError('ERR_NO_SERVER', message, options)
    }
    if (signal.aborted) {
      return new ControlError('ETIMEDOUT', `the server at ${this.path} did not answer in time`, options)
    }
    return new ControlError(
      code === '' ? 'ERR_CONTROL_PROTOCOL' : code,
      `the server at ${this.path} could not be asked: ${messageOf(error)}`,
      options,
    )
  }
}

function parseJson(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    return undefined
  }
}
