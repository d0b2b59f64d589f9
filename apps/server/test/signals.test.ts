import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { TemporaryFolder } from './temporary-folder.ts'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

interface Running {
  child: ChildProcess
  control: string
  url: string
  /** Resolves with the next entry of the log that has this message. */
  logged: (message: string) => Promise<Record<string, unknown>>
}

/** Runs a server whose only handler never answers. */
async function start(): Promise<Running> {
  const folder = new TemporaryFolder()
  const control = join(folder.path, 'control.sock')
  folder.write(
    'wait.mjs',
    'export function handle(_, ctx) { ctx.log.info("asked"); return new Promise(() => {}) }',
  )
  const mounts = [{ prefix: '/', module: 'wait.mjs' }]
  const config = folder.write('x.json', JSON.stringify({ port: 0, workers: 1, control, mounts }))
  const child = spawn(process.execPath, [main, '--config', config], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
    folder[Symbol.dispose]()
  })
  const lines = createInterface({ input: child.stdout })
  const logged = (message: string): Promise<Record<string, unknown>> => nextEntry(lines, message)
  const { url } = await logged('serving')
  return { child, control, url: String(url), logged }
}

async function nextEntry(lines: Interface, message: string): Promise<Record<string, unknown>> {
  for (;;) {
    const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(20_000) })) as [string]
    const entry = JSON.parse(line) as Record<string, unknown>
    if (entry.msg === message) return entry
  }
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s ends an idle server with 0 and removes its socket',
  async (signal) => {
    const { child, control } = await start()
    expect(existsSync(control)).toBe(true)
    child.kill(signal)
    expect(await once(child, 'exit')).toEqual([0, null])
    expect(existsSync(control)).toBe(false)
  },
)

test('a second SIGINT does not wait for the request in progress', async () => {
  const { child, url, logged } = await start()
  const asked = logged('asked')
  const request = httpRequest(url).end()
  request.on('error', () => undefined)
  await asked
  const stopping = logged('stopping: requests in progress may end')
  child.kill('SIGINT')
  await stopping
  const exit = once(child, 'exit')
  child.kill('SIGINT')
  expect(await exit).toEqual([130, null])
})
