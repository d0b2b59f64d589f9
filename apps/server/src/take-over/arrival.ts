import { setTimeout as delay } from 'node:timers/promises'
import { Fd } from '@x/fdpass'
import { adoptConnection, closeLedger, joinLedger, openLedger, releaseConnection } from '@x/http1'
import type { KQueue } from '@x/kevent'
import type { Logger } from 'pino'
import type { MetricsBase } from '../metrics/metrics-base.ts'
import type { RestartHistory } from './restart-history.ts'
import { serveAgain } from './serve-again.ts'
import type { TakeOver } from './take-over.ts'

export interface ArrivalParts {
  readonly queue: KQueue
  readonly log: Logger
  /** Milliseconds for which the old process can still go on in place of this one. */
  readonly probation: number
  /** Resolves when a worker has had a turn. */
  turn(): Promise<void>
  /** Counters begin with what the old process has counted. */
  goOn(counted: MetricsBase): void
  readonly history: RestartHistory
  /** The names are this server's. */
  claim(): void
}

/** Puts into service what a new process takes over, and has the old one leave when that has proved itself. */
export class Arrival {
  readonly #takeOver: TakeOver
  readonly #parts: ArrivalParts
  readonly #stopped = new AbortController()
  #settled: Promise<void> | undefined
  #following: Promise<void> | undefined

  constructor(takeOver: TakeOver, parts: ArrivalParts) {
    this.#takeOver = takeOver
    this.#parts = parts
  }

  /** While connections of the old process still come, or it can still go on in place of this one. */
  get following(): Promise<void> | undefined {
    return this.#following
  }

  /** From the first moment on nobody serves, until it returns. What fails before the commit has not been. */
  async take(): Promise<void> {
    const { log, probation } = this.#parts
    const takeOver = this.#takeOver
    const taken: number[] = []
    try {
      await takeOver.take((descriptor, state) => {
        adoptConnection(descriptor, state)
        taken.push(descriptor)
      })
      using ledger = Fd.from(openLedger(Int32Array.from(taken)))
      const { counted, restarts } = await takeOver.commit(ledger, probation)
      this.#parts.goOn(counted)
      this.#parts.history.goOn(restarts)
    } catch (error) {
      closeLedger()
      // They are open in the old process, which goes on with them.
      for (const descriptor of taken) releaseConnection(descriptor)
      throw error
    }
    this.#serve(taken)
    this.#parts.claim()
    log.info({ from: takeOver.pid, connections: taken.length }, 'taken over')
    this.#following = this.#finish().finally(() => (this.#following = undefined))
  }

  /** Tells the old process to leave now, whatever this one has shown so far: it is not to go on in place of this one. */
  settle(): Promise<void> {
    this.#stopped.abort()
    this.#settled ??= this.#takeOver.settle().finally(() => {
      closeLedger()
    })
    return this.#settled
  }

  async #finish(): Promise<void> {
    await Promise.all([this.#follow(), this.#prove()])
    this.#takeOver.close()
  }

  /** Takes what the old process has still to answer, as it does. */
  async #follow(): Promise<void> {
    const { log } = this.#parts
    const followed = await this.#takeOver.follow({
      adopt: (descriptor, state) => {
        adoptConnection(descriptor, state)
        joinLedger(descriptor)
        this.#serve([descriptor])
      },
      failed: (error) => {
        // The old process counts it.
        joinLedger(-1)
        log.error({ err: error }, 'a connection of the old process cannot be taken over; it is closed')
      },
      counted: (counted) => {
        this.#parts.goOn(counted)
      },
    })
    this.#parts.history.followed(followed)
    log.info(
      { from: this.#takeOver.pid, connections: followed },
      'the old process has let go of its last connection',
    )
  }

  /** Serves for a while; the old process leaves if the workers still answer then. */
  async #prove(): Promise<void> {
    const { probation } = this.#parts
    const { signal } = this.#stopped
    // The old process has left with the commit.
    if (probation === 0) return this.settle()
    await delay(probation, undefined, { signal, ref: false }).catch(() => undefined)
    if (signal.aborted) return
    // If none ever has, the old process ends this one when its time is over, and goes on.
    await this.#parts.turn()
    await this.settle()
  }

  #serve(descriptors: readonly number[]): void {
    for (const { descriptor, errno } of serveAgain(this.#parts.queue, descriptors)) {
      this.#parts.log.error({ descriptor, errno }, 'a connection cannot be put into the queue; it is closed')
    }
  }
}
