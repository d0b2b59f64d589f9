import { openDoor } from '@x/doors'
import type * as v from 'valibot'
import {
  healthAnswerSchema,
  longestRequest,
  metricsAnswerSchema,
  mountAnswerSchema,
  mountsAnswerSchema,
  reloadAnswerSchema,
  restartAnswerSchema,
  statusAnswerSchema,
  unmountAnswerSchema,
} from './control-protocol.ts'
import type {
  MountRequest,
  OperationName,
  ReloadReport,
  ReplaceRequest,
  RestartRequest,
  ServerStatus,
  UnmountRequest,
} from './control-protocol.ts'
import { ControlError, codeOf, messageOf } from '../errors.ts'
import type { ServerHealth } from '../handler.ts'
import { answerOf } from '../json-message/answer.ts'
import { encode } from '../json-message/json-message.ts'
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

/** Calls for one command: over a restart the first may come to the old process when that has just ended. */
const ATTEMPTS = 3
/** May be asked twice. */
const questions: ReadonlySet<OperationName> = new Set(['mounts', 'status', 'metrics', 'health'])

/**
 * Commands to the server behind a door, one open of it each. Every method ends by its own deadline or by the signal.
 * @throws {ControlError} from every method: ERR_NO_SERVER, ETIMEDOUT, ERR_CONTROL_PROTOCOL, EACCES or EPERM for another
 * user's server, ECONNRESET where the server has ended and may have done it or not, or the server's code.
 */
export class ControlClient {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  async mounts(signal?: AbortSignal): Promise<MountRow[]> {
    return (await this.#ask('mounts', {}, mountsAnswerSchema, promptly, signal)).mounts
  }

  status(signal?: AbortSignal): Promise<ServerStatus> {
    return this.#ask('status', {}, statusAnswerSchema, promptly, signal)
  }

  health(signal?: AbortSignal): Promise<ServerHealth> {
    return this.#ask('health', {}, healthAnswerSchema, promptly, signal)
  }

  /** In Prometheus' text format. */
  async metrics(signal?: AbortSignal): Promise<string> {
    const answer = await this.#answer('metrics', {}, promptly, signal)
    return answerOf(answer, metricsAnswerSchema, this.#stranger()).bytes.toString()
  }

  async mount(request: MountRequest, signal?: AbortSignal): Promise<MountRow> {
    return (await this.#ask('mount', request, mountAnswerSchema, forLoading, signal)).mount
  }

  /** Resolves once the old generation has drained. */
  async replace(request: ReplaceRequest, signal?: AbortSignal): Promise<MountRow> {
    const { deadline = defaultDrain } = request
    const body = { ...request, deadline }
    const answer = this.#ask('replace', body, mountAnswerSchema, forLoading + deadline, signal)
    return (await answer).mount
  }

  /** Resolves once the mount has drained. */
  async unmount(request: UnmountRequest, signal?: AbortSignal): Promise<void> {
    const { deadline = defaultDrain } = request
    const body = { ...request, deadline }
    await this.#ask('unmount', body, unmountAnswerSchema, promptly + deadline, signal)
  }

  /** Resolves when a new process serves, and with `wait` when the old one has answered all that it had in hand. */
  restart(request: RestartRequest = {}, signal?: AbortSignal): Promise<RestartReport> {
    const limit = forLoading + promptly + (request.wait === true ? longestWait : 0)
    return this.#ask('restart', request, restartAnswerSchema, limit, signal)
  }

  /** Resolves once everybody finds the new mounts; the old ones may still drain. */
  reload(signal?: AbortSignal): Promise<ReloadReport> {
    return this.#ask('reload', {}, reloadAnswerSchema, forReloading, signal)
  }

  async #ask<T>(
    operation: OperationName,
    request: object,
    schema: v.GenericSchema<unknown, T>,
    patience: number,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const answer = await this.#answer(operation, request, patience, signal)
    return answerOf(answer, schema, this.#stranger()).json
  }

  async #answer(
    operation: OperationName,
    request: object,
    patience: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    const limit = AbortSignal.timeout(patience)
    const until = signal === undefined ? limit : AbortSignal.any([limit, signal])
    const message = encode({ operation, ...request })
    for (let attempt = 1; ; attempt++) {
      try {
        return await call(this.path, message, patience, until)
      } catch (error) {
        const code = codeOf(error)
        // EBADF: it has not run. EINTR: it may have.
        const again = code === 'EBADF' || (code === 'EINTR' && questions.has(operation))
        if (!again || attempt === ATTEMPTS || until.aborted) throw this.#failure(error, until)
      }
    }
  }

  #stranger(): string {
    return `what answers at ${this.path} is not this server or another version of it; name the right socket with --control`
  }

  #failure(cause: unknown, signal: AbortSignal): ControlError {
    const code = codeOf(cause)
    const failed = (as: string, message: string): ControlError => new ControlError(as, message, { cause })
    if (code === 'ENOENT' || isRefused(cause))
      return failed(
        'ERR_NO_SERVER',
        `no server listens at ${this.path}; start one, or name its socket with --control`,
      )
    if (signal.aborted || code === 'ETIMEDOUT')
      return failed('ETIMEDOUT', `the server at ${this.path} did not answer in time`)
    if (code === 'EBADF') return failed('ERR_CONTROL_PROTOCOL', this.#stranger())
    if (code === 'ENOBUFS')
      return failed(
        'ERR_CONTROL_PROTOCOL',
        `the command has more than ${longestRequest} bytes; make it shorter`,
      )
    if (code === 'EINTR')
      return failed(
        'ECONNRESET',
        `the server at ${this.path} has ended; the command may have been done, or not`,
      )
    const message = `the server at ${this.path} could not be asked: ${messageOf(cause)}`
    return failed(code === '' ? 'ERR_CONTROL_PROTOCOL' : code, message)
  }
}

async function call(path: string, message: Buffer, timeout: number, signal: AbortSignal): Promise<Buffer> {
  using door = await openDoor(path, { timeout, signal, sharedMemory: false })
  using response = await door.call(message, { signal })
  return response.data
}

/** Nobody listens at the name: its server has gone. */
function isRefused(error: unknown): boolean {
  const { cause } = (error ?? {}) as { cause?: unknown }
  return codeOf(error) === 'EBADF' && codeOf(cause) === 'ECONNREFUSED'
}
