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
