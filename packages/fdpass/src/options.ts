import { EINVAL } from './errno.ts'
import { FdPassError } from './errors.ts'

/** How long a call may wait. Without either, for ever. */
export interface WaitOptions {
  /** Milliseconds, 0 for not at all. The wait then fails with ETIMEDOUT. */
  timeout?: number | undefined
  /** When it is aborted, the wait fails with its reason. */
  signal?: AbortSignal | undefined
}

/** The same for calls that block the thread, which no signal can reach. */
export interface SyncWaitOptions {
  /** Milliseconds, 0 for not at all. The wait then fails with ETIMEDOUT. */
  timeout?: number | undefined
}

export function invalid(syscall: string, detail: string): FdPassError {
  return new FdPassError(EINVAL, syscall, { detail })
}

/** Refuses fields that are not known, so that a misspelt one does not go unheard. */
export function checkFields(options: object, known: readonly string[], syscall: string): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name))
      throw invalid(syscall, `there is no option ${name}; there are ${known.join(', ')}`)
  }
}

export function checkTimeout(timeout: number | undefined, syscall: string): void {
  if (timeout !== undefined && !(timeout >= 0)) throw invalid(syscall, 'timeout is a number of milliseconds')
}

/** Of {@link WaitOptions}. */
export const waitFields: readonly string[] = ['timeout', 'signal']

export function checkWait(options: WaitOptions, syscall: string, others: readonly string[] = []): void {
  checkFields(options, [...waitFields, ...others], syscall)
  checkTimeout(options.timeout, syscall)
  if (options.signal !== undefined && !(options.signal instanceof AbortSignal)) {
    throw invalid(syscall, 'signal is an AbortSignal')
  }
}

export function checkSyncWait(options: SyncWaitOptions, syscall: string): void {
  checkFields(options, ['timeout'], syscall)
  checkTimeout(options.timeout, syscall)
}

export function checkCount(value: number, name: string, most: number, syscall: string): number {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw invalid(syscall, `${name} is an integer from 0 to ${most}`)
  }
  return value
}
