import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

/** The built program. */
export const main: string = fileURLToPath(new URL('../dist/main.js', import.meta.url))

export interface Outcome {
  code: number | null
  out: string
  err: string
}

/** Runs the built program in a folder of its own, without a terminal. */
export async function run(args: readonly string[], cwd = '/', env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ])
  return { code, out, err }
}
