import { Fd } from '@x/fdpass'
import { createDoor, type CallContext, type Door, type Reply } from '@x/doors'
import { connections, connectionState } from '@x/http1'
import type { Logger } from 'pino'
import * as v from 'valibot'
import { ControlError, messageOf } from '../errors.ts'
import { refusal } from '../json-message/answer.ts'
import { decode, encode } from '../json-message/json-message.ts'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { version } from '../version.ts'
import type { Departure } from './departure.ts'
import { Probation } from './probation.ts'
import {
  doorPath,
  MOST_CONNECTIONS,
  patience,
  PROTOCOL,
  requestSchema,
  type Begin,
  type Commit,
  type Request,
} from './protocol.ts'
import type { RestartHistory } from './restart-history.ts'
import type { RestartReport } from './restart-report.ts'

/** The server that leaves. */
export interface Departing {
  readonly listener: number
  readonly host: string
  readonly port: number
  /** What its configuration says, which is not where it listens when the listener was passed on to it. */
  readonly configured: { readonly host: string; readonly port: number }
  stopping(): boolean
  /** Connections of the process before this one still come. */
  following(): boolean
  /** What has been counted so far. */
  counted(): MetricsBase
  /** Where it is written down what has come of a restart. */
  readonly history: RestartHistory
  /** The listener and the names are the successor's. What runs may end. */
  depart(successor: number): void
  /** The successor has died in its probation: the control door's name is this process's again. */
  stay(): void
}

/** Why there is no restart now. */
const busy = (): ControlError =>
  new ControlError('ERR_RESTART_BUSY', 'another restart is going on; wait for it to end')
const refusalOf = ({ code, message }: ControlError): Buffer => refusal(code, message)

/** Descriptors that a server needs beside its connections. */
const ROOM = 250

type State = 'idle' | 'preparing' | 'suspended' | 'probation' | 'departed'

/**
 * The old process's side of a restart: a door that the new process calls, step by step. Whatever goes wrong before its
 * `settle` (it says so, ends, is killed, or is late) puts everything back into service here. From its `commit` on the
 * new process serves, and what it had in hand then ends with it.
 */
export class HandOver {
  readonly #departing: Departing
  readonly #departure: Departure
  readonly #log: Logger
  readonly #path: string
  readonly #door: Door
  #state: State = 'idle'
  #successor: { pid: number; version: string } | undefined
  /** What has been sent, in that order, and is not released yet. */
  #sent: number[] = []
  #probation: Probation | undefined
  #conceded: Promise<void> = Promise.resolve()
  #successorEnded: (() => void) | undefined
  #report: RestartReport | undefined
  #handed = 0
  #followed = 0
  #suspendedAt = 0
  #late: NodeJS.Timeout | undefined
  #waiting: ((outcome: RestartReport | Error) => void) | undefined
  /** Process of the call that watches it, which is ended by `#ended`. */
  #watcher: number | undefined
  #watched: (() => void) | undefined
  #ended: (() => void) | undefined

  /** Makes the door, and names it beside the control door. */
  constructor(departing: Departing, departure: Departure, control: string, log: Logger) {
    this.#departing = departing
    this.#departure = departure
    this.#log = log
    this.#path = doorPath(control)
    this.#door = createDoor((data, context) => this.#answer(data, context))
    this.#door.unref()
    this.#door.attach(this.#path, { mode: 0o600, reclaim: true })
  }

  get busy(): boolean {
    return this.#state !== 'idle'
  }

  /** Connections that went over after the commit, so far. */
  get followed(): number {
    return this.#followed
  }

  /** Resolves when a new process has taken over; rejects when it has not, with the reason. */
  outcome(): Promise<RestartReport> {
    if (this.#state === 'idle') this.#expectWithin(patience.prepare, 'the new process did not begin in time')
    return new Promise((resolve, reject) => {
      this.#waiting = (outcome) => {
        this.#waiting = undefined
        if (outcome instanceof Error) reject(outcome)
        else resolve(outcome)
      }
    })
  }

  /** @throws {ControlError} ERR_RESTART_BUSY while one goes on. */
  refuseSecond(): void {
    if (this.busy || this.expected) throw busy()
  }

  /** Somebody waits for the outcome of a restart. */
  get expected(): boolean {
    return this.#waiting !== undefined
  }

  /**
   * The new process has come to nothing, for a reason that it could not tell itself. `pid`: of whom that is said; of
   * another one than the successor it ends nothing.
   */
  failed(reason: string, pid?: number): void {
    const successor = this.#successor?.pid
    if (pid !== undefined && successor !== undefined && successor !== pid) return
    const probation = this.#probation
    if (probation === undefined) this.#rollBack(reason)
    // Who names the process has seen its end.
    else if (pid !== undefined) probation.explain(reason)
    else probation.condemn(reason)
  }

  /** Passes on that the configuration has changed. The process that serves in the place of this one; undefined: none does. */
  passOnReload(): number | undefined {
    this.#probation?.passOn('SIGHUP')
    return this.#probation?.pid
  }

  /**
   * This process is to stop: a new one on probation has all, and is to stop as well, by the same signal. `limit`: milliseconds
   * for which {@link conceded} waits for its end.
   */
  concede(signal: 'SIGTERM' | 'SIGQUIT', limit: number): void {
    const probation = this.#probation
    if (probation === undefined) return
    probation.passOn(signal)
    this.#conceded = new Promise((resolve) => {
      const late = setTimeout(() => {
        probation.condemn('it did not stop in time')
        resolve()
      }, limit)
      this.#successorEnded = () => {
        clearTimeout(late)
        resolve()
      }
    })
    this.#settle()
  }

  /** Resolves when the process that was told to stop has ended, which it does by the limit. */
  conceded(): Promise<void> {
    return this.#conceded
  }

  close(): void {
    clearTimeout(this.#late)
    this.#probation?.end()
    if (this.#state !== 'departed' && this.#state !== 'probation') this.#door.detach()
    this.#door.close()
  }

  async #answer(data: Buffer | null, context: CallContext): Promise<Reply> {
    const { uid } = context.caller
    if (uid !== 0 && uid !== process.getuid?.())
      return refusal('EPERM', 'only the user of the server may restart it')
    const message = decode(data)
    const parsed = v.safeParse(requestSchema, message?.json)
    if (!parsed.success)
      return refusal('ERR_CONTROL_PROTOCOL', 'this is no step of a restart of this version')
    try {
      return await this.#step(parsed.output, context)
    } catch (error) {
      if (this.#probation === undefined) this.#rollBack(messageOf(error))
      return refusal('ERR_RESTART_FAILED', messageOf(error))
    }
  }

  #step(request: Request, context: CallContext): Reply | Promise<Reply> {
    if (request.step === 'watch') return this.#watch(context)
    if (request.step === 'begin') return this.#begin(request, context.caller.pid)
    if (this.#state === 'idle')
      return refusal('ERR_RESTART_FAILED', 'the old process has given this restart up')
    switch (request.step) {
      case 'take':
        return this.#take()
      case 'commit':
        return this.#commit(request, context)
      case 'settle':
        if (this.#probation !== undefined) this.#settle()
        return encode({})
      case 'late':
        return this.#followUp()
      case 'abort':
        this.failed(request.reason)
        return encode({})
    }
  }

  async #begin(request: Begin, caller: number): Promise<Reply> {
    await this.#watchedBy(caller)
    const refused = this.#refuses(request, caller)
    if (refused !== undefined) return refused
    this.#state = 'preparing'
    this.#successor = { pid: request.pid, version: request.version }
    this.#expectWithin(patience.prepare, 'the new process was not ready in time')
    this.#log.info({ successor: request.pid }, 'a new process prepares to take over')
    const { listener } = this.#departing
    const begun = { pid: process.pid, version, connections: connections().open }
    return { data: encode(begun), fds: [listener] }
  }

  /** Waits a moment for the call that watches the new process: the two have no order. */
  async #watchedBy(caller: number): Promise<void> {
    if (this.#watcher === caller || this.busy) return
    const late = setTimeout(() => this.#watched?.(), patience.watch)
    await new Promise<void>((resolve) => (this.#watched = resolve))
    clearTimeout(late)
  }

  #refuses({ protocol, descriptors, host, port }: Begin, caller: number): Buffer | undefined {
    const departing = this.#departing
    if (protocol !== PROTOCOL) {
      const message = `the old process (version ${version}) speaks version ${PROTOCOL} of the hand-over, and not ${protocol}; stop it and start the new one`
      return refusal('ERR_RESTART_PROTOCOL', message)
    }
    if (this.busy) return refusalOf(busy())
    if (this.#watcher !== caller)
      return refusal(
        'ERR_CONTROL_PROTOCOL',
        'a restart begins with a call that lasts as long as the new process',
      )
    if (departing.following())
      return refusal('ERR_RESTART_BUSY', 'connections of the restart before still follow; wait for it to end')
    if (departing.stopping()) return refusal('ERR_MOUNT_STOPPING', 'the server is stopping')
    const { configured } = departing
    const same =
      host === configured.host && (port === configured.port || port === departing.port || port === 0)
    if (!same) {
      const message = `the server listens at ${departing.host} port ${departing.port}, and the new configuration says ${host} port ${port}; a restart keeps its listener, so stop the server and start it`
      return refusal('ERR_RESTART_LISTENER', message)
    }
    const needed = connections().open + ROOM
    if (descriptors >= needed) return undefined
    const message = `the new process can open ${descriptors} descriptors and needs ${needed}; raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)`
    return refusal('ERR_RESTART_LIMIT', message)
  }

  /** A call that lasts as long as the new process does: its end, of whatever cause, is told at once. */
  #watch({ caller: { pid }, signal }: CallContext): Promise<Reply> {
    if (this.#watcher !== undefined) return Promise.resolve(refusalOf(busy()))
    // It could not be ended if it hangs.
    if (pid <= 0)
      return Promise.resolve(
        refusal(
          'ERR_RESTART_UNAVAILABLE',
          'the new process is in a PID namespace that the old one cannot see',
        ),
      )
    this.#watcher = pid
    this.#watched?.()
    return new Promise((resolve) => {
      this.#ended = () => {
        this.#watcher = undefined
        resolve(encode({}))
      }
      signal.addEventListener('abort', () => {
        if (this.#watcher !== pid) return
        this.#watcher = undefined
        this.#successorEnded?.()
        if (this.#probation?.pid === pid) this.#takeBack(this.#probation)
        else if (this.#successor?.pid === pid) this.failed('the new process has ended')
      })
    })
  }

  async #take(): Promise<Reply> {
    if (this.#state === 'preparing') {
      this.#state = 'suspended'
      this.#suspendedAt = performance.now()
      this.#expectWithin(patience.takeOver, 'the new process did not take over in time')
      const successor = this.#successor
      await this.#departure.suspend()
      // It may have ended meanwhile.
      if (!this.#is('suspended') || this.#successor !== successor)
        return refusal('ERR_RESTART_FAILED', 'the restart was given up')
    }
    if (this.#state !== 'suspended') return refusal('ERR_CONTROL_PROTOCOL', 'there is nothing to take now')
    const { reply, count } = this.#connections()
    this.#handed += count
    return reply
  }

  #is(state: State): boolean {
    return this.#state === state
  }

  /** The next connections that are out of service, without those that were sent. */
  #connections(): { reply: Reply; count: number } {
    const fds = this.#departure.suspended(MOST_CONNECTIONS)
    const states = fds.map((descriptor) => connectionState(descriptor) ?? Buffer.alloc(0))
    this.#sent.push(...fds)
    const sizes = states.map(({ length }) => length)
    const head = { sizes, rest: this.#departure.hasMore(), counted: this.#departing.counted() }
    return { reply: { data: encode(head, states), fds }, count: fds.length }
  }

  #commit({ probation }: Commit, { fds }: CallContext): Reply {
    const [ledger] = fds
    if (this.#state !== 'suspended' || ledger === undefined || this.#watcher === undefined)
      return refusal('ERR_CONTROL_PROTOCOL', 'there is nothing to commit now')
    // May throw: nothing has happened yet.
    this.#door.detach()
    clearTimeout(this.#late)
    const { pid = 0, version: running = '' } = this.#successor ?? {}
    const stall = performance.now() - this.#suspendedAt
    const handed = { version: running, connections: this.#handed, stall }
    this.#report = { pid, ...handed }
    this.#state = 'probation'
    this.#probation = new Probation(this.#watcher, Fd.from(ledger.take()), probation + patience.probation)
    const { history } = this.#departing
    history.record({ to: pid, ...handed })
    this.#log.info(this.#report, 'a new process has taken over')
    if (probation === 0) this.#settle()
    return encode({ counted: this.#departing.counted(), restarts: history.list() })
  }

  /** The new process serves, and will. */
  #settle(): void {
    const report = this.#report
    this.#probation?.end()
    this.#probation = undefined
    this.#state = 'departed'
    this.#releaseSent()
    if (report === undefined) return
    this.#departing.depart(report.pid)
    this.#waiting?.(report)
  }

  /** The new process is dead: what it had not in hand goes on here. */
  #takeBack(probation: Probation): void {
    const { reason } = probation
    const lost = this.#departure.takeBack(probation.ledger.fd, this.#sent)
    this.#probation = undefined
    probation.end()
    this.#log.error({ connections: this.#sent.length, lost }, 'taken back from the new process')
    this.#departing.history.withdraw(probation.pid)
    this.#departing.stay()
    try {
      this.#door.attach(this.#path, { mode: 0o600, reclaim: true })
    } catch (error) {
      this.#log.warn({ err: error }, 'this server cannot be restarted again: its door has no name any more')
    }
    this.#state = 'suspended'
    this.#rollBack(reason)
  }

  /** Connections whose request has been answered since. To ask again says that the last ones have arrived. */
  async #followUp(): Promise<Reply> {
    if (this.#state === 'departed') this.#releaseSent()
    else if (this.#state !== 'probation') return refusal('ERR_CONTROL_PROTOCOL', 'nothing was committed yet')
    const report = this.#report
    await this.#departure.another()
    // Meanwhile it may have died that asked, and another one has begun.
    if (this.#report !== report || (!this.#is('departed') && !this.#is('probation')))
      return refusal('ERR_RESTART_FAILED', 'the restart was given up')
    const { reply, count } = this.#connections()
    this.#followed += count
    return reply
  }

  #releaseSent(): void {
    this.#departure.release(this.#sent)
    this.#sent = []
  }

  #expectWithin(milliseconds: number, otherwise: string): void {
    clearTimeout(this.#late)
    this.#late = setTimeout(() => {
      this.failed(otherwise)
    }, milliseconds)
    this.#late.unref()
  }

  #rollBack(reason: string): void {
    if (this.#state === 'departed') return
    clearTimeout(this.#late)
    const was = this.#state
    this.#state = 'idle'
    this.#sent = []
    this.#handed = 0
    this.#followed = 0
    this.#report = undefined
    this.#ended?.()
    this.#ended = undefined
    if (was === 'suspended') this.#departure.resume()
    if (was !== 'idle' || this.expected) {
      const { pid, version: running } = this.#successor ?? {}
      this.#log.error({ successor: pid, reason }, 'the restart has failed; this process serves on')
      const known = pid === undefined || running === undefined ? {} : { to: pid, version: running }
      this.#departing.history.record({ ...known, failed: reason })
    }
    this.#successor = undefined
    this.#waiting?.(new ControlError('ERR_RESTART_FAILED', `${reason}; the old process serves on`))
  }
}
