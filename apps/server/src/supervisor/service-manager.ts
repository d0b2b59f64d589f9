import { fdStore, notify, watchdog } from '@x/fdpass'
import type { NotifyState } from '@x/fdpass'
import type { Listener } from '@x/http1'
import type { Logger } from 'pino'
import type { ServerHealth } from '../handler.ts'
import { keptName } from './open-listener.ts'

/** Milliseconds beyond the drain timeout until a stop must have ended. */
const STOP_MARGIN = 5000

/**
 * Tells systemd how the server is (sd_notify(3)). Without a manager nothing happens; what cannot be told is logged and
 * changes nothing.
 */
export class ServiceManager implements Disposable {
  readonly #log: Logger
  readonly #health: () => ServerHealth
  #told: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(log: Logger, health: () => ServerHealth) {
    this.#log = log
    this.#health = health
  }

  /** After a start and after a reload. From the first time on the watchdog is fed. */
  ready(status: string): void {
    this.#tell({ ready: true, status })
    const interval = watchdog()
    if (interval === undefined || this.#timer !== undefined) return
    this.#timer = setInterval(() => {
      this.#feed()
    }, interval / 2).unref()
    this.#feed()
  }

  reloading(): void {
    this.#tell({ reloading: true, status: 'reading the configuration again' })
  }

  /** The manager is asked to wait for as long as the requests in progress may take, in ms. */
  stopping(drain: number): void {
    const extendTimeoutUsec = (drain + STOP_MARGIN) * 1000
    this.#tell({ stopping: true, status: 'requests in progress may end', extendTimeoutUsec })
  }

  /** Another process of this service is the main one from now on: the manager watches that one, and this may end. */
  succeeded(mainPid: number): void {
    clearInterval(this.#timer)
    this.#tell({ mainPid })
  }

  /** Resolves when all has been said, or could not be. */
  async told(): Promise<void> {
    await this.#told
  }

  /** Has the manager keep the socket, for the process that it starts after this one has died. */
  keepListener(listener: Listener): void {
    this.#do(() => fdStore.put(keptName, [listener.descriptor]))
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** A control thread that hangs feeds nothing, and neither does one whose workers are all gone. */
  #feed(): void {
    if (this.#health().workers > 0) this.#tell({ watchdog: true })
  }

  #tell(state: NotifyState): void {
    this.#do(() => notify(state, { timeout: 5000 }))
  }

  #do(what: () => Promise<boolean>): void {
    this.#told = this.#told.then(what).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'the service manager could not be told')
    })
  }
}
