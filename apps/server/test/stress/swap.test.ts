import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ControlClient } from '../../src/control/control-client.ts'
import { Connection } from '../e2e/connection.ts'
import { ServerProcess, run } from '../e2e/server-process.ts'

/** Seconds of load. Without them, or without wrk (apt-get install wrk), there is none. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)
const installed = spawnSync('wrk', ['-v']).error === undefined
const replaces = Math.ceil((seconds * 1000) / 60)
const settled = Math.ceil(replaces / 10)
/** Kilobytes that V8 may be ahead of itself, and those of an imported module in all workers. */
const COLLECTOR = 32 * 1024
const OF_MODULE = 64
const report = fileURLToPath(new URL('../../../../tooling/bench/report.lua', import.meta.url))

/** What wrk says at its end. */
interface WrkReport {
  requests: number
  connect: number
  read: number
  write: number
  status: number
  timeout: number
  /** Microseconds. */
  p99: number
}

/** For longer than the replaces take. */
async function loadWithWrk(url: string): Promise<WrkReport> {
  const { code, stdout } = await run('wrk', ['-t1', '-c64', `-d${seconds + 2}s`, '-s', report, url])
  expect(code).toBe(0)
  return JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) ?? '') as WrkReport
}

/** Kilobytes of memory that a process has (VmRSS of proc_pid_status(5)). */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/mu.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
}

test.skipIf(seconds === 0 || !installed)(
  `${replaces} replaces in ${seconds} s under wrk: no request fails, and each generation serves and is cleaned up once`,
  { timeout: (seconds + 120) * 1000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'x-server-swap-'))
    try {
      const module = join(folder, 'numbered.mjs')
      writeFileSync(module, 'export const handle = (_request, ctx) => ({ body: String(ctx.options.number) })')
      const spec = (number: number): object => ({ module, options: { number } })
      await using server = await ServerProcess.start({ mounts: [{ prefix: '/', ...spec(0) }] })
      const control = new ControlClient(server.control)
      using connection = await Connection.open(server.port)
      const measure = (): { descriptors: number; memory: number } => ({
        descriptors: server.descriptors(),
        memory: memoryOf(server.pid),
      })
      const loading = loadWithWrk(server.url())
      const begun = performance.now()
      let early = measure()
      for (let number = 1; number <= replaces; number++) {
        await control.replace({ prefix: '/', spec: { module, options: { number } } })
        expect((await connection.get('/'))?.body).toBe(String(number))
        if (number === settled) early = measure()
        // As evenly as the replaces allow.
        await delay(Math.max(begun + (number * seconds * 1000) / replaces - performance.now(), 0))
      }
      const late = measure()
      const took = (performance.now() - begun) / 1000
      const { requests, p99, ...errors } = await loading
      console.log(
        `${replaces} replaces in ${took.toFixed(1)} s, ${requests} requests, p99 ${(p99 / 1000).toFixed(2)} ms; ` +
          `descriptors ${early.descriptors} to ${late.descriptors}, memory ${early.memory} to ${late.memory} kB`,
      )
      expect(errors).toMatchObject({ connect: 0, read: 0, write: 0, status: 0, timeout: 0 })
      expect(await server.references()).toEqual([0])
      server.signal('SIGTERM')
      expect(await server.exited()).toBe(0)
      const cleaned = server.log
        .filter(({ msg }) => msg === 'cleaned up')
        .map(({ generation }) => Number(generation))
      expect(cleaned.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: replaces + 1 }, (_, index) => index + 1),
      )
      // The connection of a command may not have been closed yet.
      expect(late.descriptors).toBeLessThanOrEqual(early.descriptors + 1)
      // Node keeps each module that was ever imported, in each worker. What else grows is not to be seen beside that.
      expect(late.memory - early.memory).toBeLessThan(COLLECTOR + (replaces - settled) * OF_MODULE)
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
