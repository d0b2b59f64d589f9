import type { Target } from './command-line.ts'
import { targetClient } from './target-client.ts'

/** Has a new process take over, and says what went over. */
export async function runRestart(command: Target): Promise<void> {
  const client = targetClient(command)
  const before = await client.status()
  const report = await client.restart()
  const { pid, version, connections, stall } = report
  process.stdout.write(
    command.json
      ? `${JSON.stringify(report, null, 2)}\n`
      : `Process ${pid} (version ${version}) has taken over from ${before.pid}: ${connections} connections in ${stall.toFixed(1)} ms; ` +
          'requests in progress end in the old one, and theirs follow.\n',
  )
}
