import { optionError } from './errors.ts'

/** Bounds on what a client may send. What exceeds one is refused before a handler sees it. */
export interface Limits {
  /** Bytes of a request head: 431. Also the bound of the trailer fields. */
  readonly head: number
  /** Bytes of a request target: 414. */
  readonly requestTarget: number
  /** Header fields of a request: 431. Also the bound of the trailer fields. */
  readonly headers: number
  /** Bytes of a request body: 413. */
  readonly body: number
  /**
   * Bytes of a request body in a second that a client has to send while it is waited for: 408. It may fall behind by
   * the timeout `body`, and every byte makes up for some of it; so the wait for a body of n bytes takes at most that
   * timeout and n / bodyRate seconds. 0 for no such bound: then any byte gives it the whole timeout again.
   */
  readonly bodyRate: number
  /** Bytes of chunk extensions in one body: 413. */
  readonly chunkExtensions: number
  /** Bytes that are read and thrown away after a response, so that closing does not reset the connection. */
  readonly drain: number
  /** Requests of a connection: the response to the last one closes it. Without a bound when left out. */
  readonly requestsPerConnection: number
}

/** Times in milliseconds after which a client is given up. */
export interface Timeouts {
  /** From the first byte of a head to its last, and from accept to the first byte. 408. */
  readonly head: number
  /** Between two requests of a connection. */
  readonly idle: number
  /** Without a byte of the request body that is being read, and behind `bodyRate`. 408. */
  readonly body: number
  /** Without the socket taking a byte of the response. */
  readonly write: number
}

const defaultLimits: Limits = {
  head: 16 * 1024,
  requestTarget: 8 * 1024,
  headers: 100,
  body: 10 * 1024 * 1024,
  bodyRate: 240,
  chunkExtensions: 4 * 1024,
  drain: 64 * 1024,
  requestsPerConnection: 2 ** 32 - 1,
}

/** What each timeout is that is left out. */
export const defaultTimeouts: Timeouts = { head: 10_000, idle: 60_000, body: 30_000, write: 30_000 }

// A head has to fit into the room that is left for one read.
const greatest: Partial<Record<string, number>> = {
  head: 32 * 1024,
  requestTarget: 32 * 1024,
  headers: 1000,
  requestsPerConnection: 2 ** 32 - 1,
}

const least: Partial<Record<string, number>> = { bodyRate: 0 }

function merge<T extends object>(what: string, defaults: T, given: Partial<T> | undefined): T {
  const merged = { ...defaults }
  for (const [name, value] of Object.entries<unknown>({ ...given })) {
    if (!(name in defaults)) {
      throw optionError(`There is no ${what} ${name}; there are ${Object.keys(defaults).join(', ')}.`)
    }
    if (value === undefined) continue
    const from = least[name] ?? 1
    const most = greatest[name] ?? Number.MAX_SAFE_INTEGER
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < from || value > most) {
      throw optionError(
        `The ${what} ${name} is a whole number from ${from} to ${most}, not ${JSON.stringify(value)}.`,
      )
    }
    Object.assign(merged, { [name]: value })
  }
  return merged
}

/** The defaults with what was given instead. Throws ERR_HTTP_OPTION for unknown names and bad values. */
export function completeLimits(given: Partial<Limits> | undefined): Limits {
  return merge('limit', defaultLimits, given)
}

/** The defaults with what was given instead. Throws ERR_HTTP_OPTION for unknown names and bad values. */
export function completeTimeouts(given: Partial<Timeouts> | undefined): Timeouts {
  return merge('timeout', defaultTimeouts, given)
}
