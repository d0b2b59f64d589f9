import { loadConfig, soundMounts } from '../config/config.ts'
import type { Config, ConfigOverrides } from '../config/config.ts'
import { ConfigError } from '../errors.ts'
import { tryHandlers } from './try-handlers.ts'

/**
 * Reads a configuration and tries its handlers.
 * @throws {ConfigError} with every problem of both, each with its place.
 */
export async function checkConfiguration(
  file: string | undefined,
  overrides: ConfigOverrides = {},
): Promise<Config> {
  const read = readConfig(file, overrides)
  const mounts = file === undefined ? [] : soundMounts(file)
  const handlers = await tryHandlers(mounts.map(({ mount }) => mount))
  const problems = handlers.map(({ index, message }) => `${mounts[index]?.place ?? ''}: ${message}`)
  if (read instanceof ConfigError) throw new ConfigError([...read.problems, ...problems], { cause: read })
  if (problems.length > 0) throw new ConfigError(problems)
  return read
}

function readConfig(file: string | undefined, overrides: ConfigOverrides): Config | ConfigError {
  try {
    return loadConfig(file, overrides)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
}
