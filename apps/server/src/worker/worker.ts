import { parentPort, workerData } from 'node:worker_threads'
import { Engine, connections } from '@x/http1'
import { KQueue } from '@x/kevent'
import { MountTableMember } from '@x/mounttable'
import type { Mount, MountInfo } from '@x/mounttable'
import type { MountSpec } from '../handler.ts'
import { loadHandler } from '../handlers/handler-module.ts'
import type { ServerAccess } from '../handlers/server-access.ts'
import { createLog } from '../log.ts'
import { AccessLog } from './access-log.ts'
import { ConnectionLimit } from './connection-limit.ts'
import { DeadModules } from './dead-modules.ts'
import { EventStreams } from './event-streams.ts'
import { MountedHandler } from './mounted-handler.ts'
import type { HandlerHost } from './mounted-handler.ts'
import { Readiness } from './readiness.ts'
import { RequestDispatch } from './request-dispatch.ts'
import { ServeLoop } from './serve-loop.ts'
import { ServerMemory } from './server-memory.ts'
import type { FromWorker, ToWorker, WorkerData } from './worker-protocol.ts'

const data = workerData as WorkerData
const port = parentPort
if (port === null) throw new Error('worker.js is a worker thread of x-server and no program of its own')

const tell = (message: FromWorker): void => {
  port.postMessage(message)
}

const log = createLog(data.logLevel)
const memory = ServerMemory.open(data.memory)
let mounts: MountInfo<MountSpec>[] = []
let mountsWaited: ((mounts: MountInfo<MountSpec>[]) => void)[] = []

const mountsListeners = new Set<(mounts: readonly MountInfo<MountSpec>[]) => void>()

const host: HandlerHost = {
  worker: data.worker,
  log,
  mounts: () => {
    memory.wantMounts()
    return mounts
  },
  mountsNow: () => {
    tell({ type: 'mounts-wanted' })
    return new Promise((resolve) => mountsWaited.push(resolve))
  },
  health: () => memory.health(),
  counters: () => memory.counters(),
}

const access: ServerAccess = {
  control: data.control,
  onMounts(listener) {
    mountsListeners.add(listener)
    return () => mountsListeners.delete(listener)
  },
}
const deadModules = new DeadModules(data.recycle, () => {
  tell({ type: 'worn' })
})

async function prepare(spec: MountSpec, mount: Mount<MountSpec>): Promise<MountedHandler> {
  try {
    const handler = new MountedHandler(await loadHandler(spec, mount.generation, access), mount, host)
    await handler.module.init?.(handler.context(''))
    return handler
  } catch (error) {
    deadModules.add(spec)
    throw error
  }
}

async function dispose(handler: MountedHandler): Promise<void> {
  try {
    await handler.module.cleanup?.(handler.context(''))
  } catch (error) {
    const { prefix, generation } = handler.mount
    log.error({ err: error, mount: prefix, generation, worker: data.worker }, 'the cleanup failed')
  }
  deadModules.add(handler.mount.spec)
}

const accessLog = data.logRequests ? new AccessLog(data.worker) : undefined
const queue = KQueue.attach(data.queue)
const readiness = new Readiness()
const engine = new Engine({
  limits: data.limits,
  timeouts: data.timeouts,
  batch: data.batch,
  counters: memory.stripe(data.stripe),
  readable: (descriptor) => readiness.readable(descriptor),
  writable: (descriptor) => readiness.writable(descriptor),
  onPending: () => {
    loop.scheduleFlush()
  },
})
const table = await MountTableMember.attach<MountSpec, MountedHandler>(data.table, { prepare, dispose })
const streams = new EventStreams()
const loop = new ServeLoop({
  queue,
  engine,
  dispatch: new RequestDispatch({ table, engine, memory, log, accessLog, streams }),
  readiness,
  listener: data.listener,
  batch: data.batch,
  log,
  memory,
  limit: new ConnectionLimit(memory, data.stripe, data.connections),
  listenerRetired: () => {
    tell({ type: 'listener-retired' })
  },
  closed: () => {
    if (connections().open === 0) tell({ type: 'connections-gone' })
  },
  yielded: () => {
    tell({ type: 'yielded' })
  },
})

function showMounts(current: MountInfo<MountSpec>[]): void {
  mounts = current
  for (const resolve of mountsWaited) resolve(current)
  mountsWaited = []
  for (const listener of mountsListeners) listener(current)
}

/** Connections that wait for a request are in no thread's hands. What is in hand here may take as long as it likes. */
async function retire(): Promise<void> {
  loop.stop()
  engine.beginNoMore()
  table.close()
  // They have no end of their own; their clients ask again.
  streams.end()
  await Promise.all([loop.emptyHanded(), table.closed])
  await leave()
}

async function leave(): Promise<void> {
  loop.stop()
  // Not before all handlers here are cleaned up.
  await table[Symbol.asyncDispose]()
  readiness.close()
  queue.release()
  accessLog?.[Symbol.dispose]()
  // A handler may have left timers or sockets that would keep the thread.
  process.exit(0)
}

port.on('message', (message: ToWorker) => {
  if (message.type === 'mounts') showMounts(message.mounts)
  else if (message.type === 'end-streams') streams.end()
  else if (message.type === 'retire') void retire()
  else if (message.type === 'ping') tell({ type: 'pong' })
  else void leave()
})

loop.start()
if (data.renewal) memory.count(data.stripe, 'workerRecycles')
tell({ type: 'ready', consumer: queue.consumer, engine: engine.id })
