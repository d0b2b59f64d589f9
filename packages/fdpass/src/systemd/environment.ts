import { invalid } from '../options.ts'

/**
 * A variable of the environment that the manager sets, as an integer; undefined when it is not set. Throws FdPassError
 * EINVAL when it is something else.
 */
export function integerVariable(
  name: string,
  least: bigint,
  most: bigint,
  syscall: string,
): bigint | undefined {
  const text = process.env[name]
  if (text === undefined) return undefined
  const value = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n
  if (value < least || value > most) {
    throw invalid(syscall, `$${name} is ${JSON.stringify(text)}, and no integer from ${least} to ${most}`)
  }
  return value
}

const MOST_PID = 0x7fffffffn

/** Whether a variable names this process; undefined when it is not set. Throws FdPassError EINVAL as above. */
export function namesThisProcess(name: string, syscall: string): boolean | undefined {
  const pid = integerVariable(name, 1n, MOST_PID, syscall)
  return pid === undefined ? undefined : pid === BigInt(process.pid)
}

export interface UnsetOptions {
  /** Whether the variables are removed from `process.env`, so that no child takes them for its own. */
  unset?: boolean | undefined
}

export function checkUnset({ unset }: UnsetOptions, usual: boolean, syscall: string): boolean {
  const value: unknown = unset ?? usual
  if (typeof value !== 'boolean') throw invalid(syscall, 'unset is a boolean')
  return value
}

export function unsetVariables(names: readonly string[]): void {
  for (const name of names) Reflect.deleteProperty(process.env, name)
}
