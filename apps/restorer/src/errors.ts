/** A command line that cannot be understood, or that the images contradict; the process exits with 2. */
export class UsageError extends Error {
  readonly code = 'ERR_USAGE'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'UsageError'
  }
}

/** A signal that ended the command; the process exits as shells count it. */
export class Interrupted extends Error {
  readonly code = 'ERR_INTERRUPTED'
  readonly exitCode: number

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(`interrupted by ${signal}: what was begun is taken back`)
    this.name = 'Interrupted'
    this.exitCode = signal === 'SIGINT' ? 130 : 143
  }
}

/** What an error says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
