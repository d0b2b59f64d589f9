import { RestoreError, type Problem } from '../errors.ts'

export interface CollectOptions {
  /**
   * Whether the processes are stopped while they are looked at. `freeze`, unless told: by SIGSTOP, with SIGCONT after;
   * those that were stopped already stay so. What they wait in may fail with EINTR then, as epoll_wait(2): see signal(7).
   * `none`: they run on, and what changes meanwhile may be half of each; TCP connections are refused, because while one
   * is read its process cannot use it.
   */
  readonly stop?: 'freeze' | 'none'
  /** Milliseconds after which a process that does not stop is refused; 5000 unless told. */
  readonly stopTimeout?: number
  /** Leaves out what the images have no place for (datagrams in an UDP socket, say), and warns. */
  readonly lossy?: boolean
  /** Sockets may be connected to Unix sockets outside of the trees: these are written with the mark "external". */
  readonly external?: boolean
  /** The most bytes of content that one deleted file or memfd may have, holes not counted; 1 GiB unless told. */
  readonly contentLimit?: number
  /** Is told what is lost. */
  readonly onWarning?: (problem: Problem) => void
  /** Ends the waiting for processes to stop; what is stopped by then goes on. */
  readonly signal?: AbortSignal
}

export interface Settings {
  readonly freeze: boolean
  readonly stopTimeout: number
  readonly lossy: boolean
  readonly external: boolean
  readonly contentLimit: number
  readonly onWarning: (problem: Problem) => void
  readonly signal: AbortSignal | undefined
}

const known: ReadonlySet<string> = new Set([
  'stop',
  'stopTimeout',
  'lossy',
  'external',
  'contentLimit',
  'onWarning',
  'signal',
])

const checks: readonly (readonly [keyof CollectOptions, (value: unknown) => boolean, string])[] = [
  ['stop', (value) => value === 'freeze' || value === 'none', "is 'freeze' or 'none'"],
  ['stopTimeout', (value) => typeof value === 'number' && value >= 0, 'is a number of milliseconds'],
  ['lossy', (value) => typeof value === 'boolean', 'is a boolean'],
  ['external', (value) => typeof value === 'boolean', 'is a boolean'],
  ['contentLimit', (value) => typeof value === 'number' && value >= 0, 'is a number of bytes'],
  ['onWarning', (value) => typeof value === 'function', 'is a function'],
  ['signal', (value) => value instanceof AbortSignal, 'is an AbortSignal'],
]

/** Throws RestoreError `bad-option`. */
export function settingsOf(options: CollectOptions): Settings {
  const problems: Problem[] = Object.keys(options)
    .filter((name) => !known.has(name))
    .map((name) => ({ reason: 'bad-option', message: `collect() has no option ${name}` }))
  for (const [name, isGood, what] of checks) {
    const value: unknown = options[name]
    if (value !== undefined && !isGood(value)) {
      problems.push({ reason: 'bad-option', message: `the option ${name} of collect() ${what}` })
    }
  }
  if (problems.length > 0) throw new RestoreError(problems)
  return {
    freeze: options.stop !== 'none',
    stopTimeout: options.stopTimeout ?? 5000,
    lossy: options.lossy ?? false,
    external: options.external ?? false,
    contentLimit: options.contentLimit ?? 2 ** 30,
    onWarning: options.onWarning ?? (() => undefined),
    signal: options.signal,
  }
}
