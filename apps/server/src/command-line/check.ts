import { resolve } from 'node:path'
import { checkConfiguration } from '../check/check-configuration.ts'
import type { ConfigOverrides } from '../config/config.ts'
import { ConfigError } from '../errors.ts'

export interface CheckCommand {
  config: string | undefined
  overrides: ConfigOverrides
  json: boolean
}

/**
 * Checks a configuration and its handlers, and tells all that is wrong.
 * @returns the exit code.
 * @throws {ConfigError} with all problems, unless they are printed as JSON.
 */
export async function runCheck(command: CheckCommand): Promise<number> {
  const { json, overrides } = command
  const config = command.config === undefined ? undefined : resolve(command.config)
  const problems: string[] = []
  try {
    await checkConfiguration(config, overrides)
  } catch (error) {
    if (!json || !(error instanceof ConfigError)) throw error
    problems.push(...error.problems)
  }
  const sound = problems.length === 0
  if (json) process.stdout.write(`${JSON.stringify({ sound, config: config ?? null, problems }, null, 2)}\n`)
  else process.stdout.write(`${config ?? 'The built-in configuration'} is sound.\n`)
  return sound ? 0 : 1
}
