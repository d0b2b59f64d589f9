import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { History } from './linearizability.ts'

const script = fileURLToPath(new URL('stress.js', import.meta.url))

/** What stress.js prints: counts by name, and these. */
export interface Report extends Record<string, unknown> {
  /** What did not hold, each with the number of its case in front. */
  readonly failures: readonly string[]
  readonly execArgv: readonly string[]
  /** In MiB, of all generations of objects: what V8 adds for young ones is less than 64. */
  readonly heapLimits: Readonly<Record<'control' | 'worker', number>>
}

interface RunOptions {
  readonly seconds: number
  /** Options of node. */
  readonly flags?: readonly string[]
  /** Options of stress.js. */
  readonly args?: readonly string[]
}

/** The longest that {@link runStress} takes, in milliseconds. */
export const longestRun = (seconds: number): number => (seconds * 4 + 100) * 1000

/** Runs the stress to its end, in a process of its own: in this one a hang would take the tests with it. */
export async function runStress(options: RunOptions): Promise<{ report: Report; history: History }> {
  const { seconds, flags = [], args = [] } = options
  const folder = await mkdtemp(join(tmpdir(), 'x-stress-'))
  const file = join(folder, 'history.json')
  try {
    const all = [...flags, script, '--seconds', String(seconds), '--history', file, ...args]
    const child = spawn(process.execPath, all, {
      stdio: ['ignore', 'pipe', 'inherit'],
      // A thread that spins for ever reports nothing.
      timeout: longestRun(seconds),
      killSignal: 'SIGKILL',
    })
    // It ends with 1 when something did not hold, and has said what.
    const report = JSON.parse(await text(child.stdout)) as Report
    const { failures, ...counts } = report
    console.log(`stress: ${JSON.stringify(counts)}${failures.map((failure) => `\n${failure}`).join('')}`)
    return { report, history: JSON.parse(await readFile(file, 'utf8')) as History }
  } finally {
    await rm(folder, { recursive: true })
  }
}
