import { readFileSync, readdirSync } from 'node:fs'
import type { Fd } from '@x/fdpass'
import { openDoor, type DoorClient, type Response } from '@x/doors'
import * as v from 'valibot'
import { codeOf, ControlError, messageOf } from '../errors.ts'
import { answerOf } from '../json-message/answer.ts'
import { encode } from '../json-message/json-message.ts'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { version } from '../version.ts'
import {
  begunSchema,
  committedSchema,
  connectionsSchema,
  doorPath,
  patience,
  PROTOCOL,
  type Committed,
  type Connections,
  type Request,
} from './protocol.ts'

const STRANGER = 'the old process answers as no server of this version; stop it and start the new one'

/** Who gets a connection: it owns the descriptor when it returns, and has not when it throws. */
export type Adopt = (descriptor: number, state: Uint8Array) => void

/** Who gets the connections that follow. */
export interface Follower {
  readonly adopt: Adopt
  /** One could not be adopted. */
  readonly failed: (error: unknown) => void
  /** Is told what the old process has counted, in all. */
  counted(counted: MetricsBase): void
}

/** The new process's side of a restart. */
export class TakeOver {
  /** The listening socket, this process's. */
  readonly listener: number
  /** The old process. */
  readonly pid: number
  readonly #door: DoorClient
  #counted: MetricsBase = { counters: {}, mounts: [] }

  private constructor(door: DoorClient, listener: number, pid: number) {
    this.#door = door
    this.listener = listener
    this.pid = pid
  }

  /**
   * Says to the server with this control door that this process will take over.
   * @throws {ControlError} ERR_NO_SERVER, or why it refuses.
   */
  static async begin(control: string, { host, port }: { host: string; port: number }): Promise<TakeOver> {
    const door = await openOf(control)
    try {
      // It ends with this process, which the old one learns by that.
      void door.call(encode({ step: 'watch' })).catch(() => undefined)
      const request = { step: 'begin', protocol: PROTOCOL, version, pid: process.pid, host, port } as const
      const response = await ask(door, { ...request, descriptors: descriptorsLeft() }, patience.takeOver)
      const { json } = answerOf(response.data, begunSchema, STRANGER)
      const [listener] = response.fds
      if (listener === undefined)
        throw new ControlError('ERR_CONTROL_PROTOCOL', 'the old process sent no listener')
      return new TakeOver(door, listener.take(), json.pid)
    } catch (error) {
      door.close()
      throw error
    }
  }

  /** Takes all connections that wait for a request. From the first moment on nobody serves. Returns how many. */
  async take(adopt: Adopt): Promise<number> {
    let count = 0
    for (;;) {
      using response = await ask(this.#door, { step: 'take' }, patience.takeOver)
      const { json, bytes } = answerOf(response.data, connectionsSchema, STRANGER)
      this.#counted = json.counted
      count += adoptAll(response, json, bytes, adopt)
      if (!json.rest) return count
    }
  }

  /**
   * From now on they are this process's, which notes in the ledger how far it has got with each. Returns what the old one
   * has counted, and written down, so far. `probation`: milliseconds until {@link settle}.
   */
  async commit(ledger: Fd, probation: number): Promise<Committed> {
    try {
      // Without a deadline: the old process has one, and to give up here would leave both in doubt.
      const request: Request = { step: 'commit', probation }
      using response = await this.#door.call(encode(request), { fds: [ledger] })
      return answerOf(response.data, committedSchema, STRANGER).json
    } catch (error) {
      if (codeOf(error) !== 'EINTR') throw error
      // It has died in the call; all that it had is here.
      return { counted: this.#counted, restarts: [] }
    }
  }

  /** The old process cannot take anything back from now on. */
  async settle(): Promise<void> {
    try {
      const response = await ask(this.#door, { step: 'settle' }, patience.takeOver)
      response.close()
    } catch {
      // It has ended, or will do so when it sees that this process lives on.
    }
  }

  /** Takes the connections whose requests the old process still answers, until there are none. */
  async follow(follower: Follower): Promise<number> {
    let count = 0
    try {
      for (;;) {
        using response = await this.#door.call(encode({ step: 'late' }))
        const { json, bytes } = answerOf(response.data, connectionsSchema, STRANGER)
        follower.counted(json.counted)
        if (json.sizes.length === 0) return count
        count += adoptAll(response, json, bytes, follower.adopt, follower.failed)
      }
    } catch {
      // The old process has ended, and with it what it still had.
      return count
    }
  }

  /** Gives up: the old process goes on at once, or, after the commit, when this one has ended. */
  async abort(reason: unknown): Promise<void> {
    const request = { step: 'abort', reason: messageOf(reason) } as const
    await ask(this.#door, request, 1000).then(
      (response) => {
        response.close()
      },
      () => undefined,
    )
    this.close()
  }

  close(): void {
    this.#door.close()
  }
}

async function openOf(control: string): Promise<DoorClient> {
  const path = doorPath(control)
  try {
    return await openDoor(path)
  } catch (cause) {
    const code = codeOf(cause)
    if (code !== 'ENOENT' && code !== 'EBADF') throw cause
    const message = `no server can be taken over from at ${path}; start one without --take-over`
    throw new ControlError('ERR_NO_SERVER', message, { cause })
  }
}

const ask = (door: DoorClient, request: Request, timeout: number): Promise<Response> =>
  door.call(encode(request), { timeout })

/**
 * What cannot be adopted is closed, and known to nobody here. Returns how many were. `failed` is told of each that was not;
 * without it the first one ends it all, and the old process still has them.
 */
function adoptAll(
  response: Response,
  { sizes }: Connections,
  bytes: Buffer,
  adopt: Adopt,
  failed?: (error: unknown) => void,
): number {
  if (sizes.length !== response.fds.length)
    throw new ControlError('ERR_CONTROL_PROTOCOL', 'the old process sent other descriptors than it said')
  let [at, count] = [0, 0]
  for (const [index, fd] of response.fds.entries()) {
    const end = at + (sizes[index] ?? 0)
    try {
      adopt(fd.fd, bytes.subarray(at, end))
      fd.take()
      count++
    } catch (error) {
      if (failed === undefined) throw error
      failed(error)
    }
    at = end
  }
  return count
}

const limitsSchema = v.pipe(v.string(), v.regex(/^Max open files\s+(\d+|unlimited)/mu))

/** How many descriptors this process can open yet (RLIMIT_NOFILE). */
function descriptorsLeft(): number {
  const limits = v.parse(limitsSchema, readFileSync('/proc/self/limits', 'utf8'))
  const [, soft] = /^Max open files\s+(\d+|unlimited)/mu.exec(limits) ?? []
  const most = soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft)
  return most - readdirSync('/proc/self/fd').length
}
