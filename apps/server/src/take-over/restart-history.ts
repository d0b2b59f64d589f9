import * as v from 'valibot'

/** Attempts that are kept. */
const MOST = 20

/** A restart that was tried, as operators see it. */
export interface RestartAttempt {
  /** Milliseconds since the epoch at which it succeeded or failed. */
  readonly at: number
  /** The old process. */
  readonly from: number
  /** The new process, if it came so far as to say who it is; `version` is its own. */
  readonly to?: number
  readonly version?: string
  /** Connections that went over at once. */
  readonly connections?: number
  /** Milliseconds for which nobody served. */
  readonly stall?: number
  /** Connections that have followed when their request was answered; left out until the last one has. */
  readonly followed?: number
  /** Why the old process serves on. */
  readonly failed?: string
}

const count = v.pipe(v.number(), v.integer(), v.minValue(0))

export const restartAttemptSchema: v.GenericSchema<unknown, RestartAttempt> = v.object({
  at: v.number(),
  from: count,
  to: v.exactOptional(count),
  version: v.exactOptional(v.string()),
  connections: v.exactOptional(count),
  stall: v.exactOptional(v.number()),
  followed: v.exactOptional(count),
  failed: v.exactOptional(v.string()),
})

/**
 * The newest restarts that were tried. The old process writes down what came of one, and its successor goes on with
 * the list: it is lost only with a process that nobody has taken over from.
 */
export class RestartHistory {
  #attempts: readonly RestartAttempt[] = []

  /** The newest first. */
  list(): readonly RestartAttempt[] {
    return this.#attempts
  }

  /** What came of an attempt to take over from this process, a moment ago. */
  record(attempt: Omit<RestartAttempt, 'at' | 'from'>): void {
    const entry = { at: Date.now(), from: process.pid, ...attempt }
    this.#attempts = [entry, ...this.#attempts].slice(0, MOST)
  }

  /** What was written down of this process came to nothing after all. */
  withdraw(pid: number): void {
    this.#attempts = this.#attempts.filter(({ to, failed }) => to !== pid || failed !== undefined)
  }

  /** Goes on with the list of the process that this one has taken over from. */
  goOn(earlier: readonly RestartAttempt[]): void {
    this.#attempts = earlier.slice(0, MOST)
  }

  /** In the new process: its own restart is over, for the last connection has come. */
  followed(connections: number): void {
    this.#attempts = this.#attempts.map((attempt) =>
      attempt.to === process.pid && attempt.failed === undefined
        ? { ...attempt, followed: connections }
        : attempt,
    )
  }
}
