import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** The built program. */
export const main: string = fileURLToPath(new URL('../dist/main.js', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Runs the built program, without a terminal, to its end. */
export function restorer(...args: readonly string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 30_000,
  })
  return { code: status, out: stdout, err: stderr }
}
