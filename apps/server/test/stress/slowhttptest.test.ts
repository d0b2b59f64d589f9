import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Connection } from '../e2e/connection.ts'
import { ServerProcess, handlerFile, run } from '../e2e/server-process.ts'

/** Seconds of each attack. Without it, or without the program (apt-get install slowhttptest), there is none. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 0)
const installed = spawnSync('slowhttptest', ['-h']).error === undefined
const connections = 500

/**
 * Whether a probe of the program got no answer at some time: the last of the columns Seconds, Closed, Pending,
 * Connected and Service Available is 0 then.
 */
function wasUnavailable(file: string): boolean {
  const lines = readFileSync(file, 'utf8').trim().split('\n').slice(1)
  return lines.some((line) => line.split(',').at(-1)?.trim() === '0')
}

test.skipIf(seconds === 0 || !installed).each<[string, string[], string]>([
  ['heads', ['-H', '-i', '1'], '/hello'],
  ['bodies', ['-B', '-i', '1', '-s', '100000'], '/body'],
  ['reads', ['-X', '-n', '1', '-w', '512', '-y', '1024', '-z', '32'], '/files/large.bin'],
])(
  `slowhttptest: ${connections} connections with slow %s are ended, and the server stays available`,
  { timeout: (seconds + 60) * 1000 },
  async (_, attack, path) => {
    const folder = mkdtempSync(join(tmpdir(), 'x-server-slow-'))
    try {
      writeFileSync(join(folder, 'large.bin'), '')
      truncateSync(join(folder, 'large.bin'), 16 * 1024 * 1024)
      await using server = await ServerProcess.start({
        timeouts: { head: 2000, body: 2000, write: 2000 },
        mounts: [
          { prefix: '/hello', module: handlerFile('hello') },
          { prefix: '/body', module: handlerFile('body') },
          { prefix: '/files', static: folder },
        ],
      })
      const target = ['-u', server.url(path), '-c', String(connections), '-r', '200', '-p', '3']
      const report = ['-l', String(seconds), '-g', '-o', join(folder, 'report')]
      const before = server.descriptors()
      const begun = performance.now()
      const ending = { over: false }
      const attacking = run('slowhttptest', [...attack, ...target, ...report]).finally(() => {
        ending.over = true
      })
      let served = 0
      let most = before
      let least = before
      while (!ending.over) {
        using connection = await Connection.open(server.port)
        for (let turn = 0; turn < 50; turn++) {
          expect((await connection.get('/hello'))?.status).toBe(200)
          served++
        }
        // At the end of its time the program closes what is left by itself.
        if (performance.now() - begun > (seconds - 1) * 1000) continue
        const now = server.descriptors()
        // Since the most.
        least = now > most ? now : Math.min(least, now)
        most = Math.max(most, now)
      }
      await attacking
      expect(most - before).toBeGreaterThan(connections / 2)
      // The connection of the others, and those by which the program probes.
      expect(least - before).toBeLessThan(10)
      expect(wasUnavailable(join(folder, 'report.csv'))).toBe(false)
      console.log(`${served} requests of others were served meanwhile`)
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)
