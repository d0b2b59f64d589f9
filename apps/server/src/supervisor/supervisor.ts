import { EVFILT_READ, EV_ADD, EV_DISPATCH, EV_ENABLE, KQueue, NOTE_NODATA } from '@x/kevent'
import {
  abandon,
  adoptListener,
  connections,
  connectionState,
  defaultTimeouts,
  heldBy,
  inHand,
  limitConnectionsPerAddress,
  monotonicNow,
  setHandingOver,
} from '@x/http1'
import type { Listener } from '@x/http1'
import type { ChildProcess } from 'node:child_process'
import { MountTable } from '@x/mounttable'
import type { MountInfo } from '@x/mounttable'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type {
  Control,
  MountRequest,
  ReloadReport,
  ReplaceRequest,
  RestartRequest,
  ServerStatus,
  UnmountRequest,
} from '../control/control-protocol.ts'
import { ControlServer } from '../control/control-server.ts'
import { DeadlineTimer, force } from '../teardown/deadline-timer.ts'
import type { MountSpec, ServerHealth } from '../handler.ts'
import { ControlError } from '../errors.ts'
import { metricsBase, ServedBefore } from '../metrics/metrics-base.ts'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { serverMetrics } from '../metrics/server-metrics.ts'
import { Arrival } from '../take-over/arrival.ts'
import { Departure } from '../take-over/departure.ts'
import { HandOver } from '../take-over/hand-over.ts'
import { RestartHistory } from '../take-over/restart-history.ts'
import type { RestartReport } from '../take-over/restart-report.ts'
import { isSelfTest, selfTest } from '../take-over/self-test.ts'
import { succeed } from '../take-over/successor.ts'
import { TakeOver } from '../take-over/take-over.ts'
import type { MountedHandler } from '../worker/mounted-handler.ts'
import { mountRow } from '../status/mount-row.ts'
import type { MountRow } from '../status/mount-row.ts'
import { openListener } from './open-listener.ts'
import { Reload } from './reload.ts'
import type { RunningServer } from './running-server.ts'
import { ServerMemory } from '../worker/server-memory.ts'
import { ServiceManager } from './service-manager.ts'
import { version } from '../version.ts'
import { WorkerPool } from './worker-pool.ts'
import type { Served } from './worker-pool.ts'

/** Milliseconds between two pictures of the mount table for the workers, while a handler asks for them. */
const PICTURE_INTERVAL = 500
/** Seconds for which a question counts. */
const PICTURE_WANTED = 5
/** Milliseconds between two looks whether accepting is paused, while it is to end. */
const PAUSED_AGAIN = 20
/** Connections that a worker may have in hand when it dies. */
const MOST_HELD = 65_536
/** Milliseconds that a stop leaves to idle connections: a request that is on its way is still answered with a response that closes. */
const IDLE_GRACE = 250

export interface StartOptions {
  /** Reads and checks the configuration for a reload. */
  readonly readAgain: () => Promise<Config>
  /** Takes over from the server that has this control door, with its connections. */
  readonly takeOver?: boolean
  /** Starts a process that takes over from this one; without it there is no restart by command. */
  readonly spawnSuccessor?: () => ChildProcess
}

/** Starts a server. What cannot start leaves nothing behind, and rejects with the reason. */
export async function startServer(
  config: Config,
  log: Logger,
  options: StartOptions,
): Promise<RunningServer> {
  const server = new Supervisor(config, log, options)
  await server.start()
  return server
}

/** The control thread: owns the listener, the queue, the table, the workers and the control door. */
class Supervisor implements RunningServer, Control {
  readonly closed: Promise<number>
  #config: Config
  readonly #log: Logger
  readonly #options: StartOptions
  readonly #queue = new KQueue()
  readonly #memory: ServerMemory
  readonly #table: MountTable<MountSpec, MountedHandler>
  readonly #servedBefore = new ServedBefore()
  readonly #manager: ServiceManager
  readonly #reload: Reload
  readonly #started = Date.now()
  readonly #history = new RestartHistory()
  readonly #connectionsGone: Promise<void>
  #settleRetired: (() => void) | undefined
  #settleGone!: () => void
  #settleClosed!: (code: number) => void
  #listener: Listener | undefined
  /** The listener's descriptor while it is in the queue; its number may be a connection's after that. */
  #accepting: number | undefined
  #workers: WorkerPool | undefined
  #control: ControlServer | undefined
  #deadlines: DeadlineTimer | undefined
  #pictures: NodeJS.Timeout | undefined
  #stopping: Promise<void> | undefined
  #departure: Departure | undefined
  #handOver: HandOver | undefined
  #departed = false
  /** Of a server that has taken over from another one. */
  #arrival: Arrival | undefined

  constructor(config: Config, log: Logger, options: StartOptions) {
    this.#config = config
    this.#log = log
    this.#options = options
    this.#memory = ServerMemory.create(config.workers)
    this.#table = new MountTable({
      // While a worker is renewed it has two threads.
      members: 2 * config.workers,
      cleanup: ({ prefix, host, generation }) => {
        if (!isSelfTest(prefix)) log.info({ mount: prefix, host, generation }, 'cleaned up')
        this.#showMounts()
      },
    })
    this.#manager = new ServiceManager(log, () => this.health())
    this.#reload = new Reload({ table: this.#table, log, readAgain: options.readAgain })
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
    this.#connectionsGone = new Promise((resolve) => {
      this.#settleGone = resolve
    })
  }

  get port(): number {
    return this.#listener?.port ?? 0
  }

  /** Of a listener that was passed on, the configuration does not tell. */
  get host(): string {
    return this.#listener?.address().address ?? this.#config.host
  }

  async start(): Promise<void> {
    const config = this.#config
    const takeOver =
      this.#options.takeOver === true ? await TakeOver.begin(config.control, config) : undefined
    try {
      const keep = await this.#prepare(takeOver)
      if (takeOver !== undefined) {
        await selfTest(this.#queue, this.#table, config.selfTest)
        this.#memory.forget()
        this.#arrival = this.#arrivalOf(takeOver)
        await this.#arrival.take()
      }
      // Last: whoever has connected so far waits in the backlog and now finds all in place.
      this.#accept()
      this.#memory.open()
      this.#allowRestart()
      if (keep && this.#listener !== undefined) this.#manager.keepListener(this.#listener)
    } catch (error) {
      // First its name: the old process kills this one when it hears of the end.
      await this.#control?.close()
      await takeOver?.abort(error)
      await this.#end(1)
      throw error
    }
    const { control, file } = config
    this.#log.info({ url: this.#url(), workers: config.workers, control, config: file }, 'serving')
    this.#manager.ready(`serving at ${this.#url()}`)
  }

  /** All but to serve. Whether the service manager may keep the listener. */
  async #prepare(takeOver: TakeOver | undefined): Promise<boolean> {
    const config = this.#config
    const { control } = config
    const { listener, keep } =
      takeOver === undefined
        ? openListener(config)
        : { listener: adoptListener(takeOver.listener), keep: false }
    this.#listener = listener
    limitConnectionsPerAddress(config.limits.connectionsPerAddress)
    this.#control = await (takeOver === undefined
      ? ControlServer.listen(control, this)
      : ControlServer.listenBeside(control, this))
    this.#workers = new WorkerPool({
      config,
      queue: this.#queue,
      table: this.#table,
      memory: this.#memory,
      listener: listener.descriptor,
      log: this.#log,
      listenerRetired: () => this.#settleRetired?.(),
      connectionsGone: () => {
        this.#noteConnectionsGone()
      },
      yielded: () => this.#departure?.changed(),
      mountsWanted: () => {
        this.#showMounts()
      },
      ready: () => {
        this.#showMounts()
      },
      died: (worker, served) => {
        this.#release(worker, served)
      },
      mayRenew: () => this.#mayRenew(),
      patience: () => this.#config.timeouts.drain,
    })
    await this.#workers.start()
    for (const mount of config.mounts) {
      await this.#table.mount(mount.prefix, mount.spec, named(mount.host))
    }
    this.#showMounts()
    this.#startTimers()
    return keep
  }

  #arrivalOf(takeOver: TakeOver): Arrival {
    return new Arrival(takeOver, {
      queue: this.#queue,
      log: this.#log,
      probation: this.#config.timeouts.probation,
      turn: () => this.#workers?.turn() ?? Promise.resolve(),
      goOn: (counted) => {
        this.#goOn(counted)
      },
      history: this.#history,
      claim: () => {
        this.#claim()
      },
    })
  }

  #claim(): void {
    try {
      this.#control?.claim()
    } catch (error) {
      this.#log.error(
        { err: error },
        'commands cannot reach this server: its control door cannot be put in place',
      )
    }
  }

  /** A stop and a restart come first, also one that is not over. */
  #mayRenew(): boolean {
    const restarting = this.#handOver?.busy === true || this.#handOver?.expected === true
    return this.#stopping === undefined && !restarting && this.#arrival?.following === undefined
  }

  /** Counters begin with what the old process has counted. */
  #goOn(base: MetricsBase): void {
    this.#memory.setEarlier(base.counters)
    this.#servedBefore.set(base)
  }

  #accept(): void {
    const ident = this.#listener?.descriptor
    if (ident === undefined) return
    this.#accepting = ident
    this.#queue.kevent([{ ident, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_NODATA }])
  }

  #allowRestart(): void {
    const [listener, deadlines] = [this.#listener, this.#deadlines]
    if (listener === undefined || deadlines === undefined) return
    const departure = new Departure({
      queue: this.#queue,
      memory: this.#memory,
      deadlines,
      retireListener: () => this.#retireListener(this.#config.timeouts.drain),
      acceptAgain: () => {
        this.#acceptAgain()
      },
      released: () => {
        this.#noteConnectionsGone()
      },
      idle: this.#config.timeouts.idle ?? defaultTimeouts.idle,
    })
    const departing = {
      listener: listener.descriptor,
      host: this.#config.host,
      port: listener.port,
      configured: this.#config,
      stopping: () => this.#stopping !== undefined,
      following: () => this.#arrival?.following !== undefined,
      counted: () => metricsBase(this.#memory.counters(), this.#list()),
      history: this.#history,
      depart: (successor: number) => {
        this.#departed = true
        this.#manager.succeeded(successor)
        this.#stopping ??= this.#leave()
      },
      stay: () => {
        this.#claim()
      },
    }
    this.#departure = departure
    try {
      this.#handOver = new HandOver(departing, departure, this.#config.control, this.#log)
    } catch (error) {
      // It serves all the same.
      this.#log.warn({ err: error }, 'this server cannot be restarted by a new process: its door has no name')
    }
  }

  async restart({ wait }: RestartRequest = {}): Promise<RestartReport> {
    const handOver = this.#handOver
    const spawn = this.#options.spawnSuccessor
    if (handOver === undefined || spawn === undefined) {
      throw new ControlError(
        'ERR_RESTART_UNAVAILABLE',
        'this server cannot start its successor; start it with --take-over',
      )
    }
    handOver.refuseSecond()
    // Nobody would ask for those any more.
    const following = this.#arrival?.following
    if (following !== undefined) await orAfter(following, this.#config.timeouts.drain)
    // Others may have waited for that as well.
    handOver.refuseSecond()
    const report = await succeed(handOver, spawn)
    // Whoever has asked for it finds the new process from then on.
    await this.#control?.replaced()
    if (wait !== true) return report
    await orAfter(this.#connectionsGone, this.#config.timeouts.drain)
    return { ...report, followed: handOver.followed }
  }

  stop(): Promise<void> {
    if (this.#stopping === undefined) this.#manager.stopping(this.#config.timeouts.drain)
    this.#handOver?.concede('SIGTERM', this.#config.timeouts.drain)
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  kill(): void {
    this.#handOver?.concede('SIGQUIT', 0)
    const { following } = this.#arrival ?? {}
    const settled = following === undefined ? Promise.resolve() : this.#arrival?.settle()
    void settled?.then(() => this.#end(1))
  }

  mounts(): MountRow[] {
    return this.#list().map(mountRow)
  }

  async mount({ prefix, host, spec }: MountRequest): Promise<MountRow> {
    const mount = await this.#table.mount(prefix, spec, named(host))
    this.#log.info({ mount: prefix, host, generation: mount.generation, module: spec.module }, 'mounted')
    this.#showMounts()
    return mountRow(mount)
  }

  async replace(request: ReplaceRequest): Promise<{ mount: MountRow; drained: Promise<void> }> {
    const { prefix, host, spec, deadline = this.#config.timeouts.drain } = request
    const { mount } = await this.#table.replace(prefix, spec, named(host))
    this.#log.info({ mount: prefix, host, generation: mount.generation, module: spec.module }, 'replaced')
    this.#showMounts()
    return { mount: mountRow(mount), drained: this.#table.drain(prefix, { ...named(host), deadline }) }
  }

  async unmount({ prefix, host, deadline = this.#config.timeouts.drain }: UnmountRequest): Promise<void> {
    await this.#table.unmount(prefix, { ...named(host), deadline })
    this.#log.info({ mount: prefix, host }, 'unmounted')
  }

  async reload(): Promise<ReloadReport> {
    const successor = this.#handOver?.passOnReload()
    if (successor !== undefined) {
      const message = `process ${successor} serves in the place of this one, and was told to reload`
      throw new ControlError('ERR_RESTART_BUSY', message)
    }
    this.#manager.reloading()
    try {
      const { config, report } = await this.#reload.run(() => this.#config)
      this.#config = config
      this.#showMounts()
      return report
    } finally {
      // The manager wants to hear of the end of a reload, and nothing else after that of a stop.
      if (this.#stopping === undefined) this.#manager.ready(`serving at ${this.#url()}`)
    }
  }

  status(): ServerStatus {
    const { host } = this
    const { file } = this.#config
    const counters = this.#memory.counters()
    const all = connections()
    const status: ServerStatus = {
      pid: process.pid,
      version,
      state: this.#stopping === undefined ? 'running' : 'draining',
      host,
      port: this.port,
      started: this.#started,
      counters: { connections: all.open, ...counters },
      workers: this.#workers?.list(counters) ?? [],
      connectionStates: { ...all },
      restarts: [...this.#history.list()],
    }
    return file === undefined ? status : { ...status, config: file }
  }

  health(): ServerHealth {
    const health = this.#memory.health()
    // The workers do not know of a stop before the listener is closed.
    return this.#stopping === undefined ? health : { ...health, ready: false, state: 'draining' }
  }

  metrics(): string {
    return serverMetrics({
      version,
      health: this.health(),
      counters: this.#memory.counters(),
      connections: connections(),
      mounts: this.mounts(),
    })
  }

  #url(): string {
    const { host } = this
    return `http://${host.includes(':') ? `[${host}]` : host}:${this.port}/`
  }

  #startTimers(): void {
    this.#deadlines = new DeadlineTimer(this.#queue)
    this.#pictures = setInterval(() => {
      if (this.#memory.mountsWanted(PICTURE_WANTED)) this.#showMounts()
    }, PICTURE_INTERVAL).unref()
  }

  /** The workers' picture of the table: sent at each change, and regularly while a handler shows it. */
  #showMounts(): void {
    this.#workers?.showMounts(this.#list())
  }

  #list(): MountInfo<MountSpec>[] {
    return this.#servedBefore.added(this.#table.list().filter(({ prefix }) => !isSelfTest(prefix)))
  }

  /** What a dead worker held: goes to another, but a request in hand is told, and its connection closed. */
  #release(worker: number, served: Served | undefined): void {
    if (served === undefined) return
    for (const { ident, filter } of this.#queue.held(served.consumer)) {
      // Out of service: the departure's, and in no queue.
      if (connectionState(ident) !== undefined) {
        this.#queue.detach(ident)
        continue
      }
      if (ident === this.#accepting || !inHand(ident)) {
        this.#queue.kevent([{ ident, filter, flags: EV_ENABLE, fflags: NOTE_NODATA }])
        continue
      }
      this.#lose(worker, ident)
    }
    // Of what was taken over with a whole request in it no event was delivered, so it holds none.
    const others = new Int32Array(MOST_HELD)
    for (const descriptor of others.subarray(0, heldBy(served.engine, others))) {
      if (inHand(descriptor)) this.#lose(worker, descriptor)
      else this.#offer(descriptor)
    }
    this.#resumeAccepting()
    this.#noteConnectionsGone()
  }

  /** Has another worker look at what was read of a connection, of which no event tells. */
  #offer(descriptor: number): void {
    this.#queue.detach(descriptor)
    this.#queue.kevent([
      { ident: descriptor, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_NODATA },
    ])
    force(this.#queue, descriptor)
  }

  #lose(worker: number, descriptor: number): void {
    this.#queue.detach(descriptor)
    abandon(descriptor)
    this.#log.warn({ worker, descriptor }, 'a connection died with its worker')
  }

  /** Where the listener waits for a connection to end: one has, or nobody may wait any more. */
  #resumeAccepting(): void {
    const ident = this.#accepting
    if (ident === undefined || !this.#memory.resumeAccepting()) return
    this.#queue.kevent([{ ident, filter: EVFILT_READ, flags: EV_ENABLE, fflags: NOTE_NODATA }])
  }

  async #drain(): Promise<void> {
    const { drain } = this.#config.timeouts
    const deadline = monotonicNow() + drain
    // The process before this one is not to go on in its place.
    await this.#arrival?.settle()
    this.#handOver?.failed('the server is stopping')
    await this.#retireListener(drain)
    this.#listener?.close()
    this.#memory.startClosing()
    this.#workers?.endStreams()
    // In the far future, every connection that waits for a request is past its deadline.
    const idle = setInterval(() => this.#deadlines?.force(Number.MAX_SAFE_INTEGER), IDLE_GRACE)
    this.#noteConnectionsGone()
    await orAfter(this.#connectionsGone, deadline - monotonicNow())
    clearInterval(idle)
    await this.#finish(deadline)
  }

  /** Another process serves: what runs here may end, and its connections follow. */
  async #leave(): Promise<void> {
    const deadline = monotonicNow() + this.#config.timeouts.drain
    this.#listener?.close()
    this.#workers?.endStreams()
    this.#noteConnectionsGone()
    await orAfter(this.#connectionsGone, deadline - monotonicNow())
    await this.#handOver?.conceded()
    setHandingOver(false)
    this.#memory.startClosing()
    await this.#finish(deadline)
  }

  async #finish(deadline: number): Promise<void> {
    const left = connections().open
    if (left > 0) this.#log.warn({ connections: left }, 'the drain timeout has passed; they are closed')
    await this.#table.stop({ deadline: Math.max(deadline - monotonicNow(), 1), force: true })
    // Bounded as well: a cleanup may hang, and what is left then is killed.
    if (this.#workers !== undefined)
      await orAfter(this.#workers.stop(), Math.max(deadline - monotonicNow(), 1000))
    await this.#end(left > 0 ? 1 : 0)
  }

  /** Called whenever a connection may have been the last one. */
  #noteConnectionsGone(): void {
    this.#departure?.changed()
    if ((this.#memory.closing || this.#departed) && connections().open === 0) this.#settleGone()
  }

  /** Of a hand-over that was given up, also while the listener is being retired. */
  #acceptAgain(): void {
    const settle = this.#settleRetired
    this.#settleRetired = undefined
    settle?.()
    // A knote that was forced stays so, whatever is added to it.
    if (this.#accepting !== undefined) this.#queue.detach(this.#accepting)
    this.#accept()
  }

  /** Forces the listener out of the queue: the worker that gets it accepts whoever waits, and says so. */
  async #retireListener(limit: number): Promise<void> {
    const accepting = this.#accepting
    if (accepting === undefined) return
    let settle: (() => void) | undefined
    const retired = new Promise<void>((resolve) => (settle = resolve))
    this.#settleRetired = settle
    if (force(this.#queue, accepting)) {
      this.#resumeAccepting()
      // A worker may pause only now.
      const again = setInterval(() => {
        this.#resumeAccepting()
      }, PAUSED_AGAIN)
      await orAfter(retired, limit)
      clearInterval(again)
    }
    // It was given up meanwhile, and is in the queue for good.
    if (this.#settleRetired !== settle) return
    this.#settleRetired = undefined
    this.#queue.detach(accepting)
    this.#accepting = undefined
  }

  async #end(code: number): Promise<void> {
    this.#deadlines?.[Symbol.dispose]()
    this.#manager[Symbol.dispose]()
    if (this.#departed) await this.#manager.told()
    clearInterval(this.#pictures)
    try {
      this.#handOver?.close()
    } catch (error) {
      this.#log.warn({ err: error }, 'the name of the door for restarts cannot be taken away')
    }
    await (this.#departed ? this.#control?.leave() : this.#control?.close())
    await this.#workers?.kill()
    this.#queue.close()
    this.#table.close()
    this.#listener?.close()
    this.#settleClosed(code)
  }
}

/** Waits for a promise, or until `limit` ms have passed. */
async function orAfter(promise: Promise<void>, limit: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limit)
  })
  await Promise.race([promise, late])
  clearTimeout(timer)
}

const named = (host: string | undefined): { host?: string } => (host === undefined ? {} : { host })
