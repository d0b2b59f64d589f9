/** What a restart has done. */
export interface RestartReport {
  /** The new process. */
  readonly pid: number
  readonly version: string
  /** Connections that went over at once. */
  readonly connections: number
  /** Milliseconds for which nobody served. */
  readonly stall: number
  /** Connections that have followed when their request was answered: of a restart that waits for that. */
  readonly followed?: number
}

/** A restart that came to nothing. The old process serves on. */
export class RestartError extends Error {
  readonly code = 'ERR_RESTART_FAILED'

  constructor(reason: string) {
    super(`${reason}; the old process serves on`)
    this.name = 'RestartError'
  }
}
