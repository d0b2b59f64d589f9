import { RestoreError } from '../errors.ts'
import { DEFAULT_LIMITS, type Inline, type Limits } from './image-file.ts'

export interface ReadOptions {
  /** What an image may ask for; see {@link Limits}. */
  limits?: Partial<Limits> | undefined
  /**
   * A payload of at most this many bytes is read into memory, 16 MiB of them in all; another one is a part of its file.
   * 64 KiB by default. With 0 all are parts of files.
   */
  inline?: number | undefined
  /** When it is aborted, reading stops with its reason. */
  signal?: AbortSignal | undefined
}

/** What a reader is allowed: limits, and what it may keep in memory. */
export interface Allowance {
  readonly limits: Limits
  readonly inline: Inline
}

const INLINE = { each: 2 ** 16, all: 2 ** 24 }

/** Checks options. Throws RestoreError `bad-option`. */
export function allowanceOf(options: ReadOptions): Allowance {
  checkFields(options, ['limits', 'inline', 'signal'])
  checkSignal(options.signal)
  const { limits = {}, inline = INLINE.each } = options
  checkFields(limits, Object.keys(DEFAULT_LIMITS))
  const chosen = { ...DEFAULT_LIMITS }
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof Limits)[]) {
    chosen[name] = checkCount(limits[name] ?? DEFAULT_LIMITS[name], `limits.${name}`)
  }
  return { limits: chosen, inline: { each: checkCount(inline, 'inline'), all: INLINE.all } }
}

/** Refuses options that are not known. */
export function checkFields(options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) refuseOption(`there is no option ${name}; there are ${known.join(', ')}`)
  }
}

export function checkSignal(signal: AbortSignal | undefined): void {
  if (signal !== undefined && !(signal instanceof AbortSignal)) refuseOption('signal is an AbortSignal')
}

function checkCount(value: number, name: string): number {
  if (!Number.isSafeInteger(value) || value < 0) refuseOption(`${name} is an integer from 0 on`)
  return value
}

function refuseOption(message: string): never {
  throw new RestoreError([{ reason: 'bad-option', message }])
}
