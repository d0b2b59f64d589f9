import { once } from 'node:events'
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
  /** A worker has died; `consumer` is its number in the queue, undefined if it never served. */
  died(worker: number, consumer: number | undefined): void
}

interface Member {
  readonly thread: Worker
  readonly tableMember: number
  /** Milliseconds since the epoch. */
  readonly started: number
  consumer: number | undefined
}

/** The worker threads of a server: as many as configured, each replaced when it dies. */
export class WorkerPool {
  readonly #parts: WorkerPoolParts
  readonly #members = new Map<number, Member>()
  readonly #pauses = new Map<number, NodeJS.Timeout>()
  #stopping = false

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts
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
    const exits = [...this.#members.values()].map(({ thread }) => once(thread, 'exit'))
    this.#broadcast({ type: 'leave' })
    await Promise.all(exits)
  }

  /** Ends every worker wherever it is. */
  async kill(): Promise<void> {
    this.#retire()
    await Promise.all([...this.#members.values()].map(({ thread }) => thread.terminate()))
  }

  /** In the order of their numbers; `counters` are those of ServerMemory. */
  list(counters: Readonly<Record<string, number>>): WorkerRow[] {
    return this.#numbers().map((worker) => {
      const requests = counters[`worker.${worker}.requests`] ?? 0
      const member = this.#members.get(worker)
      // One that has died, until another takes its place.
      if (member === undefined) return { worker, state: 'starting', requests }
      const state = member.consumer === undefined ? 'starting' : 'serving'
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
    for (const { thread } of this.#members.values()) thread.postMessage(message)
  }

  #spawn(worker: number, pause: number): Promise<void> {
    const { config, queue, table, memory, listener } = this.#parts
    const handle = table.share()
    const workerData: WorkerData = {
      worker,
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
    const member: Member = { thread, tableMember: handle.id, started: Date.now(), consumer: undefined }
    this.#members.set(worker, member)
    return new Promise((resolve, reject) => {
      let failure: unknown = new Error(`worker ${worker} ended by itself`)
      thread.on('message', (message: FromWorker) => {
        if (message.type === 'listener-retired') this.#parts.listenerRetired()
        else if (message.type === 'connections-gone') this.#parts.connectionsGone()
        else if (message.type === 'yielded') this.#parts.yielded()
        else if (message.type === 'mounts-wanted') this.#parts.mountsWanted()
        else {
          member.consumer = message.consumer
          this.#parts.ready()
          resolve()
        }
      })
      thread.on('error', (error) => {
        failure = error
      })
      thread.on('exit', () => {
        this.#exited(worker, member, failure, pause)
        reject(failure instanceof Error ? failure : new Error(String(failure)))
      })
    })
  }

  #exited(worker: number, member: Member, failure: unknown, pause: number): void {
    const { log, table } = this.#parts
    this.#members.delete(worker)
    table.removed(member.tableMember)
    if (this.#stopping) return
    log.error({ worker, err: failure }, 'a worker died; another takes its place')
    this.#parts.died(worker, member.consumer)
    const served = member.consumer !== undefined
    const wait = served ? FIRST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE)
    const timer = setTimeout(() => {
      this.#pauses.delete(worker)
      // It reports its own end; there is nobody else to tell.
      this.#spawn(worker, wait).catch(() => undefined)
    }, wait)
    this.#pauses.set(worker, timer)
  }
}

/** The limits of a connection, and that of their number. */
function bounds({ limits: { connections, ...limits } }: Config): Pick<WorkerData, 'limits' | 'connections'> {
  return { limits, connections }
}

/** Without those that are no connection's. */
function serving({ timeouts }: Config): WorkerData['timeouts'] {
  const { drain, probation, ...others } = timeouts
  return others
}
