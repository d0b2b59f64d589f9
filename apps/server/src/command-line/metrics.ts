import type { Target } from './command-line.ts'
import { targetClient } from './target-client.ts'

/** Prints the metrics, as Prometheus reads them. */
export async function runMetrics(target: Omit<Target, 'json'>): Promise<void> {
  process.stdout.write(await targetClient(target).metrics())
}
