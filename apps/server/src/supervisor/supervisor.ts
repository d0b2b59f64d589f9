import { EVFILT_READ, EV_ADD, EV_DISPATCH, EV_ENABLE, KQueue, NOTE_NODATA } from '@x/kevent'
import { abandon, connections, inHand, monotonicNow } from '@x/http1'
import type { Listener } from '@x/http1'
import { MountTable } from '@x/mounttable'
import type { MountInfo } from '@x/mounttable'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type {
  Control,
  MountRequest,
  ReloadReport,
  ReplaceRequest,
  ServerStatus,
  UnmountRequest,
} from '../control/control-protocol.ts'
import { ControlServer } from '../control/control-server.ts'
import { DeadlineTimer, force } from './deadline-timer.ts'
import type { MountSpec, ServerHealth } from '../handler.ts'
import { ServedBefore } from '../metrics/metrics-base.ts'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import { serverMetrics } from '../metrics/server-metrics.ts'
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

/** Milliseconds between two pictures of the mount table for the workers, while a handler asks for them. */
const PICTURE_INTERVAL = 500
/** Seconds for which a question counts. */
const PICTURE_WANTED = 5
/** Milliseconds that a stop leaves to idle connections: a request that is on its way is still answered with a response that closes. */
const IDLE_GRACE = 250

export interface StartOptions {
  /** Reads and checks the configuration for a reload. */
  readonly readAgain: () => Promise<Config>
  /** What counters begin with; nothing when left out. */
  readonly metricsBase?: MetricsBase
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

/** The control thread: owns the listener, the queue, the table, the workers and the control socket. */
class Supervisor implements RunningServer, Control {
  readonly closed: Promise<number>
  #config: Config
  readonly #log: Logger
  readonly #queue = new KQueue()
  readonly #memory: ServerMemory
  readonly #table: MountTable<MountSpec, MountedHandler>
  readonly #servedBefore: ServedBefore
  readonly #manager: ServiceManager
  readonly #reload: Reload
  readonly #started = Date.now()
  readonly #listenerRetired: Promise<void>
  readonly #connectionsGone: Promise<void>
  #settleRetired!: () => void
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

  constructor(config: Config, log: Logger, { readAgain, metricsBase }: StartOptions) {
    this.#config = config
    this.#log = log
    this.#memory = ServerMemory.create(config.workers, metricsBase?.counters)
    this.#servedBefore = new ServedBefore(metricsBase)
    this.#table = new MountTable({
      cleanup: ({ prefix, host, generation }) => {
        log.info({ mount: prefix, host, generation }, 'cleaned up')
        this.#showMounts()
      },
    })
    this.#manager = new ServiceManager(log, () => this.health())
    this.#reload = new Reload({ table: this.#table, log, readAgain })
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve
    })
    this.#listenerRetired = new Promise((resolve) => {
      this.#settleRetired = resolve
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
    try {
      const { listener, keep } = openListener(config)
      this.#listener = listener
      this.#control = await ControlServer.listen(config.control, this)
      this.#workers = new WorkerPool({
        config,
        queue: this.#queue,
        table: this.#table,
        memory: this.#memory,
        listener: listener.descriptor,
        log: this.#log,
        listenerRetired: this.#settleRetired,
        connectionsGone: this.#settleGone,
        mountsWanted: () => {
          this.#showMounts()
        },
        ready: () => {
          this.#memory.countWorker(1)
          this.#showMounts()
        },
        died: (worker, consumer) => {
          if (consumer !== undefined) this.#memory.countWorker(-1)
          this.#release(worker, consumer)
        },
      })
      await this.#workers.start()
      for (const { prefix, host, spec } of config.mounts) {
        await this.#table.mount(prefix, spec, named(host))
      }
      this.#showMounts()
      this.#startTimers()
      // Last: whoever has connected so far waits in the backlog and now finds all in place.
      this.#accepting = listener.descriptor
      this.#queue.kevent([
        { ident: listener.descriptor, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_NODATA },
      ])
      this.#memory.open()
      if (keep) this.#manager.keepListener(listener)
    } catch (error) {
      await this.#end(1)
      throw error
    }
    const { control, file } = config
    this.#log.info({ url: this.#url(), workers: config.workers, control, config: file }, 'serving')
    this.#manager.ready(`serving at ${this.#url()}`)
  }

  stop(): Promise<void> {
    if (this.#stopping === undefined) this.#manager.stopping(this.#config.timeouts.drain)
    this.#stopping ??= this.#drain()
    return this.#stopping
  }

  kill(): void {
    void this.#end(1)
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
    const status: ServerStatus = {
      pid: process.pid,
      version,
      state: this.#stopping === undefined ? 'running' : 'draining',
      host,
      port: this.port,
      started: this.#started,
      counters: { connections: connections().open, ...this.#memory.counters() },
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
    return this.#servedBefore.added(this.#table.list())
  }

  /** What a dead worker held: goes to another, but a request in hand is told, and its connection closed. */
  #release(worker: number, consumer: number | undefined): void {
    if (consumer === undefined) return
    for (const { ident, filter } of this.#queue.held(consumer)) {
      if (ident === this.#accepting || !inHand(ident)) {
        this.#queue.kevent([{ ident, filter, flags: EV_ENABLE, fflags: NOTE_NODATA }])
        continue
      }
      this.#queue.detach(ident)
      abandon(ident)
      this.#log.warn({ worker, descriptor: ident }, 'a connection died with its worker')
    }
    this.#resumeAccepting()
    this.#noteConnectionsGone()
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
    await this.#retireListener(drain)
    this.#memory.startClosing()
    // In the far future, every connection that waits for a request is past its deadline.
    const idle = setInterval(() => this.#deadlines?.force(Number.MAX_SAFE_INTEGER), IDLE_GRACE)
    this.#noteConnectionsGone()
    await orAfter(this.#connectionsGone, deadline - monotonicNow())
    clearInterval(idle)
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
    if (this.#memory.closing && connections().open === 0) this.#settleGone()
  }

  /** Forces the listener out of the queue: the worker that gets it accepts whoever waits, and says so. */
  async #retireListener(limit: number): Promise<void> {
    const listener = this.#listener
    if (listener === undefined) return
    if (force(this.#queue, listener.descriptor)) {
      this.#resumeAccepting()
      await orAfter(this.#listenerRetired, limit)
    }
    this.#queue.detach(listener.descriptor)
    this.#accepting = undefined
    listener.close()
  }

  async #end(code: number): Promise<void> {
    this.#deadlines?.[Symbol.dispose]()
    this.#manager[Symbol.dispose]()
    clearInterval(this.#pictures)
    await this.#control?.close()
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
