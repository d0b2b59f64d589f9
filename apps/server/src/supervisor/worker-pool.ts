import { Worker } from 'node:worker_threads'
import type { KQueue } from '@x/kevent'
import type { MountInfo, MountTable } from '@x/mounttable'
import type { Logger } from 'pino'
import type { Config } from '../config/config.ts'
import type { MountSpec } from '../handler.ts'
import type { WorkerRow } from '../status/worker-row.ts'
import type { MountedHandler } from '../worker/mounted-handler.ts'
import type { ServerMemory } from '../worker/server-memory.ts'
import type { FromWorker, ToWorker, WorkerData } from '../worker/worker-protocol.ts'
import { WorkerRenewals } from './worker-renewals.ts'

/** Milliseconds before a worker that died is replaced, doubled for each one that died before it served. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 5000

export interface WorkerPoolParts {
  readonly config: Config
  readonly queue: KQueue
  readonly table: MountTable<MountSpec, MountedHandler>
  readonly memory: ServerMemory
  readonly listener: number
  readonly log: Logger
  /** The listener is out of the queue: see ServeLoop. */
  listenerRetired(): void
  /** The server is closing, and its last connection has ended. */
  connectionsGone(): void
  /** Connections are out of service, to go to another process. */
  yielded(): void
  /** A worker asks for the mounts of this moment. */
  mountsWanted(): void
  /** A worker serves. */
  ready(): void
  /** A worker has died; undefined if it never served. */
  died(worker: number, served: Served | undefined): void
  /** Whether nothing goes on that comes before the renewal of a worker. */
  mayRenew(): boolean
  /** Milliseconds that a renewal waits for the requests which the old thread has in hand. */
  patience(): number
}

/** By what a worker that serves is known. */
export interface Served {
  /** To the queue. */
  readonly consumer: number
  /** To http1. */
  readonly engine: number
}

interface Member {
  readonly worker: number
  readonly thread: Worker
  readonly tableMember: number
  /** Milliseconds since the epoch. */
  readonly started: number
  readonly stripe: number
  /** Settles when it has ended, however. */
  readonly exited: Promise<void>
  /** Since it serves. */
  served: Served | undefined
  /** `coming`: to take the place of one that serves. `retiring`: another has taken its place. */
  state: 'coming' | 'serving' | 'retiring'
}

/**
 * The worker threads of a server: as many as configured, each replaced when it dies, and renewed when it has loaded too
 * much. A worker that is renewed has two threads for a while, and never three.
 */
export class WorkerPool {
  readonly #parts: WorkerPoolParts
  readonly #members = new Set<Member>()
  readonly #pauses = new Map<number, NodeJS.Timeout>()
  readonly #renewals: WorkerRenewals
  #stopping = false
  #turns: (() => void)[] = []

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts
    this.#renewals = new WorkerRenewals((worker) => this.#renew(worker), parts.log)
  }

  /** Resolves when every worker serves; rejects with the error of one that died before. */
  async start(): Promise<void> {
    await Promise.all(this.#numbers().map((worker) => this.#spawn(worker, FIRST_PAUSE)))
  }

  showMounts(mounts: MountInfo<MountSpec>[]): void {
    this.#broadcast({ type: 'mounts', mounts })
  }

  /** The process is to end: no response may go on for ever. */
  endStreams(): void {
    this.#broadcast({ type: 'end-streams' })
  }

  /** Has every worker clean up its handlers and leave; resolves when all have. The table has drained before. */
  async stop(): Promise<void> {
    this.#retire()
    const exits = [...this.#members].map(({ exited }) => exited)
    this.#broadcast({ type: 'leave' })
    await Promise.all(exits)
  }

  /** Ends every worker wherever it is. */
  async kill(): Promise<void> {
    this.#retire()
    await Promise.all([...this.#members].map(({ thread }) => thread.terminate()))
  }

  /** Resolves when one of them has had a turn. */
  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#turns.push(resolve)
      this.#broadcast({ type: 'ping' })
    })
  }

  /** In the order of their numbers; `counters` are those of ServerMemory. */
  list(counters: Readonly<Record<string, number>>): WorkerRow[] {
    return this.#numbers().map((worker) => {
      const requests = counters[`worker.${worker}.requests`] ?? 0
      const threads = this.#of(worker)
      // Of one that is renewed, the thread that serves until the new one does.
      const member = threads.find(({ state }) => state === 'serving') ?? threads[0]
      // One that has died, until another takes its place.
      if (member === undefined) return { worker, state: 'starting', requests }
      const state = member.served === undefined ? 'starting' : 'serving'
      return { worker, state, started: member.started, requests }
    })
  }

  #numbers(): number[] {
    return Array.from({ length: this.#parts.config.workers }, (_, index) => index + 1)
  }

  #retire(): void {
    this.#stopping = true
    for (const pause of this.#pauses.values()) clearTimeout(pause)
    this.#pauses.clear()
  }

  #broadcast(message: ToWorker): void {
    for (const { thread } of this.#members) thread.postMessage(message)
  }

  #of(worker: number): Member[] {
    return [...this.#members].filter((member) => member.worker === worker)
  }

  /** Resolves when it serves; rejects when it ends before. */
  #spawn(worker: number, pause: number): Promise<Member> {
    return this.#start(worker, 'serving', pause)
  }

  #start(worker: number, state: Member['state'], pause: number): Promise<Member> {
    const { config, queue, table, memory, listener } = this.#parts
    const handle = table.share()
    const taken = this.#of(worker).map(({ stripe }) => stripe)
    const stripe = memory.stripesOf(worker).find((one) => !taken.includes(one)) as number
    const workerData: WorkerData = {
      worker,
      stripe,
      renewal: state === 'coming',
      recycle: config.recycle,
      queue: queue.share(),
      table: handle,
      memory: memory.buffer,
      control: config.control,
      listener,
      batch: config.batch,
      ...bounds(config),
      timeouts: serving(config),
      logLevel: config.log.level,
      logRequests: config.log.requests,
    }
    const options = { workerData, transferList: handle.transfer, name: `x-server ${worker}` }
    const thread = new Worker(new URL('../worker/worker.js', import.meta.url), options)
    const exited = new Promise<void>((resolve) => {
      thread.once('exit', () => {
        resolve()
      })
    })
    const member: Member = {
      worker,
      thread,
      tableMember: handle.id,
      started: Date.now(),
      stripe,
      exited,
      served: undefined,
      state,
    }
    this.#members.add(member)
    return new Promise((resolve, reject) => {
      let failure: unknown
      thread.on('message', (message: FromWorker) => {
        if (message.type === 'listener-retired') this.#parts.listenerRetired()
        else if (message.type === 'connections-gone') this.#parts.connectionsGone()
        else if (message.type === 'yielded') this.#parts.yielded()
        else if (message.type === 'mounts-wanted') this.#parts.mountsWanted()
        else if (message.type === 'pong') this.#hadTurn()
        else if (message.type === 'worn') {
          if (member.state === 'serving') this.#renewals.request(worker)
        } else {
          member.served = message
          memory.countWorker(1)
          this.#parts.ready()
          resolve(member)
        }
      })
      thread.on('error', (error) => {
        failure = error
      })
      thread.on('exit', () => {
        this.#exited(member, failure, pause)
        reject(failure instanceof Error ? failure : endedByItself(worker))
      })
    })
  }

  #hadTurn(): void {
    for (const resolve of this.#turns.splice(0)) resolve()
  }

  /** A new thread first, and then the old one leaves. Resolves when it has, or has been waited for long enough. */
  async #renew(worker: number): Promise<void> {
    const { log, memory } = this.#parts
    const [old, another] = this.#of(worker)
    // With another one the last renewal still goes on, or it is dying and has a successor.
    if (old?.state !== 'serving' || another !== undefined || !this.#parts.mayRenew()) return
    const renewed = await this.#start(worker, 'coming', FIRST_PAUSE).catch((error: unknown) => {
      if (!this.#stopping) throw error
    })
    // All have been told to leave, or were ended.
    if (renewed === undefined || this.#stopping) return
    renewed.state = 'serving'
    const threads = { thread: old.thread.threadId, by: renewed.thread.threadId }
    // Where it has died meanwhile, the new one is its successor already.
    if (!this.#members.has(old)) return
    old.state = 'retiring'
    memory.countWorker(-1)
    old.thread.postMessage({ type: 'retire' } satisfies ToWorker)
    log.info({ worker, ...threads }, 'a worker is renewed')
    if (await settledWithin(old.exited, this.#parts.patience())) return
    log.warn(
      { worker, ...threads },
      'the thread that was renewed still has requests in hand; it ends with them',
    )
  }

  #exited(member: Member, failure: unknown, pause: number): void {
    const { log, memory, table } = this.#parts
    const { worker, served, state } = member
    this.#members.delete(member)
    table.removed(member.tableMember)
    if (this.#stopping) return
    if (state === 'retiring') {
      if (failure !== undefined) log.error({ worker, err: failure }, 'a worker died that was being renewed')
      // What it held, if it did.
      this.#parts.died(worker, served)
      return
    }
    // Of one that was to take another's place, who waits for it tells.
    if (state === 'coming' && this.#of(worker).length > 0) return
    if (served !== undefined) memory.countWorker(-1)
    log.error({ worker, err: failure ?? endedByItself(worker) }, 'a worker died; another takes its place')
    this.#parts.died(worker, served)
    if (this.#of(worker).some((other) => other.state === 'coming')) return
    const wait = served !== undefined ? FIRST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE)
    const timer = setTimeout(() => {
      this.#pauses.delete(worker)
      // It reports its own end; there is nobody else to tell.
      this.#spawn(worker, wait).catch(() => undefined)
    }, wait)
    this.#pauses.set(worker, timer)
  }
}

const endedByItself = (worker: number): Error => new Error(`worker ${worker} ended by itself`)

/** Whether a promise settles within so many ms. */
async function settledWithin(promise: Promise<void>, limit: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, limit, false).unref()
  })
  const settled = await Promise.race([promise.then(() => true), late])
  clearTimeout(timer)
  return settled
}

/** The limits of a connection, and that of their number. What an address may have, the process bounds. */
function bounds({ limits: all }: Config): Pick<WorkerData, 'limits' | 'connections'> {
  const { connections, connectionsPerAddress, ...limits } = all
  return { limits, connections }
}

/** Without those that are no connection's. */
function serving({ timeouts }: Config): WorkerData['timeouts'] {
  const { drain, probation, ...others } = timeouts
  return others
}
