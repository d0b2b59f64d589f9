import type { Target } from './command-line.ts'
import { targetClient } from './target-client.ts'

/** Has the server read its configuration again. */
export async function runReload(target: Target): Promise<void> {
  const report = await targetClient(target).reload()
  if (target.json) {
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    return
  }
  const changes = [
    ['Mounted', report.mounted],
    ['Replaced', report.replaced],
    ['Unmounted', report.unmounted],
  ] as const
  const lines = changes.map(([what, names]) => (names.length === 0 ? '' : `${what} ${names.join(', ')}.\n`))
  process.stdout.write(lines.join('') || 'Nothing is mounted.\n')
}
