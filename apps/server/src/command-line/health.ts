import type { Target } from './command-line.ts'
import { targetClient } from './target-client.ts'

/**
 * Prints whether the server is ready.
 * @returns the exit code.
 */
export async function runHealth(target: Target): Promise<number> {
  const health = await targetClient(target).health()
  const { ready, state, workers } = health
  const serving = workers === 1 ? '1 worker serves' : `${workers} workers serve`
  process.stdout.write(
    target.json
      ? `${JSON.stringify(health, null, 2)}\n`
      : `${ready ? 'Ready' : 'Not ready'}: ${state}, ${serving}.\n`,
  )
  return ready ? 0 : 1
}
