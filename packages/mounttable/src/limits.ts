import { MountTableError } from './errors.ts'

/** How long a call may wait. Without either it waits until it is done. */
export interface Limits {
  /** Milliseconds from the call on. */
  readonly deadline?: number
  /** Ends the wait; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

const LONGEST_TIMER = 2 ** 31 - 1

/** @throws MountTableError EINVAL when `options` has a key that is not in `known`, or an impossible limit. */
export function checkOptions(syscall: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null) {
    throw new MountTableError('EINVAL', syscall, `options are an object, not ${String(options)}`)
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new MountTableError(
        'EINVAL',
        syscall,
        `unknown option '${key}'; known are ${known.join(', ') || 'none'}`,
      )
    }
  }
  const { deadline, signal } = options as { deadline?: unknown; signal?: unknown }
  if (deadline !== undefined) checkNumber(syscall, 'deadline', deadline, 0, LONGEST_TIMER)
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new MountTableError('EINVAL', syscall, "option 'signal' is not an AbortSignal")
  }
}

/** @throws MountTableError EINVAL when `value` is not a number from `least` to `most`. */
export function checkNumber(
  syscall: string,
  name: string,
  value: unknown,
  least: number,
  most: number,
): asserts value is number {
  if (typeof value !== 'number' || !(value >= least && value <= most)) {
    throw new MountTableError(
      'EINVAL',
      syscall,
      `option '${name}' must be a number from ${least} to ${most}, not ${String(value)}`,
    )
  }
}

/** @throws MountTableError EINVAL when one is there and is no function. */
export function checkFunctions(syscall: string, functions: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(functions)) {
    if (value !== undefined && typeof value !== 'function') {
      throw new MountTableError('EINVAL', syscall, `option '${name}' must be a function`)
    }
  }
}

/** Settles as `work` does, unless a limit comes first; then it rejects, and `work` goes on by itself. */
export function within<T>(work: Promise<T>, limits: Limits, expired: () => Error): Promise<T> {
  const { deadline, signal } = limits
  if (deadline === undefined && signal === undefined) return work
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      // An AbortSignal's reason is whatever the caller chose; it is passed on as it is.
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
      reject(error)
    }
    const aborted = (): void => {
      fail(signal?.reason)
    }
    const timer =
      deadline === undefined
        ? undefined
        : setTimeout(() => {
            fail(expired())
          }, deadline)
    signal?.addEventListener('abort', aborted, { once: true })
    work.then((value) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', aborted)
      resolve(value)
    }, fail)
    if (signal?.aborted === true) aborted()
  })
}
