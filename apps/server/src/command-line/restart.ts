import type { RestartReport } from '../take-over/restart-report.ts'
import type { Target } from './command-line.ts'
import { targetClient } from './target-client.ts'

/** Has a new process take over, and says what went over. */
export async function runRestart(command: { wait: boolean } & Target): Promise<void> {
  const client = targetClient(command)
  const before = await client.status()
  const report = await client.restart({ wait: command.wait })
  process.stdout.write(command.json ? `${JSON.stringify(report, null, 2)}\n` : sentence(before.pid, report))
}

function sentence(before: number, { pid, version, connections, stall, followed }: RestartReport): string {
  const after =
    followed === undefined
      ? 'requests in progress end in the old one, and theirs follow.'
      : `${followed} followed when their requests were answered.`
  const over = `${connections} connections in ${stall.toFixed(1)} ms`
  return `Process ${pid} (version ${version}) has taken over from ${before}: ${over}; ${after}\n`
}
