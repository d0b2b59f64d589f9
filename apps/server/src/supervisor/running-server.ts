import type { RestartReport } from '../take-over/restart-report.ts'

/** A server that accepts connections. */
export interface RunningServer {
  /** The port it listens at, also when the configuration left the choice to the kernel. */
  readonly port: number
  /** Resolves with the process's exit code once everything is closed, whoever asked for it. */
  readonly closed: Promise<number>
  /** Accepts no more, lets the requests in progress end within the drain timeout, and closes. */
  stop(): Promise<void>
  /** Has a new process take over. Rejects when that comes to nothing; this one serves on then. */
  restart(): Promise<RestartReport>
  /**
   * Reads the configuration's file again and brings the mount table to it, or changes nothing. Either is logged.
   * @throws {ConfigError} {@link ConfigInPlaceError} MountTableError
   */
  reload(): Promise<unknown>
  /** Closes everything at once. */
  kill(): void
}
