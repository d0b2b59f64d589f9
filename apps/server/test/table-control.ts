import { MountTable } from '@x/mounttable'
import type { Lease } from '@x/mounttable'
import type {
  Control,
  MountRequest,
  ReloadReport,
  ReplaceRequest,
  RestartRequest,
  ServerStatus,
  UnmountRequest,
} from '../src/control/control-protocol.ts'
import { loadHandler } from '../src/handlers/handler-module.ts'
import type { HandlerModule, MountSpec, ServerHealth } from '../src/handler.ts'
import { mountRow } from '../src/status/mount-row.ts'
import type { RestartReport } from '../src/take-over/restart-report.ts'
import type { MountRow } from '../src/status/mount-row.ts'

/** A mount table of one thread behind the control's interface: all of a server but its connections. */
export class TableControl implements Control, Disposable {
  ready = false
  readonly #table: MountTable<MountSpec, HandlerModule> = new MountTable<MountSpec, HandlerModule>({
    members: 0,
    prepare: (spec, { generation }) => loadHandler(spec, generation),
  })

  mounts(): MountRow[] {
    return this.#table.list().map(mountRow)
  }

  async mount({ prefix, host, spec }: MountRequest): Promise<MountRow> {
    return mountRow(await this.#table.mount(prefix, spec, host === undefined ? {} : { host }))
  }

  async replace({
    prefix,
    host,
    spec,
    deadline = 30_000,
  }: ReplaceRequest): Promise<{ mount: MountRow; drained: Promise<void> }> {
    const place = host === undefined ? {} : { host }
    const { mount } = await this.#table.replace(prefix, spec, place)
    return { mount: mountRow(mount), drained: this.#table.drain(prefix, { ...place, deadline }) }
  }

  unmount({ prefix, host, deadline = 30_000 }: UnmountRequest): Promise<void> {
    return this.#table.unmount(prefix, host === undefined ? { deadline } : { host, deadline })
  }

  restart({ wait }: RestartRequest): Promise<RestartReport> {
    const report = { pid: 4711, version: '1.2.4', connections: 2, stall: 1.25 }
    return Promise.resolve(wait === true ? { ...report, followed: 1 } : report)
  }

  async reload(): Promise<ReloadReport> {
    const before = this.mounts().map(({ prefix }) => prefix)
    await this.#table.replaceAll([])
    return { mounted: [], replaced: [], unmounted: before }
  }

  status(): ServerStatus {
    return {
      pid: process.pid,
      version: '1.2.3',
      state: 'running',
      host: '127.0.0.1',
      port: 8080,
      started: Date.now() - 90_000,
      counters: {
        connections: 2,
        bytesIn: 7,
        'worker.1.requests': 3,
        'worker.1.responses2xx': 2,
        'worker.2.requests': 4,
      },
      workers: [
        { worker: 1, state: 'serving', started: 1, requests: 3 },
        { worker: 2, state: 'starting', requests: 4 },
      ],
      connectionStates: { open: 2, idle: 1, reading: 0, handling: 1, writing: 0, closing: 0, yielded: 0 },
      restarts: [{ at: 2, from: 1, failed: 'a reason' }],
    }
  }

  health(): ServerHealth {
    return { ready: this.ready, state: this.ready ? 'running' : 'draining', workers: 1 }
  }

  metrics(): string {
    return '# TYPE a gauge\na 1\n'
  }

  /** Holds what serves `path`, as a request in progress does. */
  hold(path: string): Lease<HandlerModule, MountSpec> {
    const lease = this.#table.lookup(path)
    if (lease === undefined) throw new Error(`nothing is mounted at ${path}`)
    return lease
  }

  [Symbol.dispose](): void {
    this.#table.close()
  }
}
