import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'

const script = fileURLToPath(new URL('stress/stress.js', import.meta.url))

/** How long it runs; `pnpm test:stress` makes it 60. */
const seconds = Number(process.env.X_STRESS_SECONDS ?? 3)
/** The longest that it takes, in milliseconds: each round has quiet moments, and whoever is killed starts again. */
const longest = (seconds * 5 + 60) * 1000

interface Report {
  readonly failures: readonly string[]
  readonly quietMoments: number
  readonly serversKilled: number
  readonly clientsKilled: number
  readonly clients: Readonly<Record<'answers' | 'givenUp' | 'files' | 'sentFiles' | 'terminated', number>>
  readonly servers: Readonly<Record<'signals' | 'revoked' | 'terminated', number>>
}

describe('16 clients in 4 processes, a server, and the end of each at any moment', () => {
  let report: Report

  const failuresOf = (number: string): string[] =>
    report.failures.filter((failure) => failure.startsWith(`${number}:`))

  beforeAll(async () => {
    const child = spawn(process.execPath, [script, '--seconds', String(seconds)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: longest,
      killSignal: 'SIGKILL',
    })
    const line = await text(child.stdout)
    console.log(line.trim())
    report = JSON.parse(line) as Report
  }, longest + 10_000)

  test('39: each call is answered with what follows from it, descriptors included, or fails as it may', () => {
    expect(failuresOf('39')).toEqual([])
    expect(report.clients.answers).toBeGreaterThan(0)
    expect(report.clients.files + report.clients.sentFiles).toBeGreaterThan(0)
  })

  test('46: at quiet moments nobody has more descriptors than at first; the server’s memory does not grow', () => {
    expect(failuresOf('46')).toEqual([])
    expect(report.quietMoments).toBeGreaterThanOrEqual(Math.max(3, Math.floor(seconds / 4)))
  })

  test('81: no procedure goes on for a caller that has gone', () => {
    expect(failuresOf('81')).toEqual([])
    expect(report.servers.signals).toBeGreaterThan(0)
  })

  test('83: each wait ends', () => {
    expect(failuresOf('83')).toEqual([])
    expect(report.clients.givenUp).toBeGreaterThan(0)
  })

  test('86: a call fails with EINTR or EBADF only when the server, its thread or the door has ended', () => {
    expect(failuresOf('86')).toEqual([])
    expect(report.serversKilled).toBeGreaterThan(0)
    expect(report.clientsKilled).toBeGreaterThan(0)
  })

  test('87: threads of the server are replaced, and none fails', () => {
    expect(failuresOf('87')).toEqual([])
    expect(report.servers.terminated).toBeGreaterThan(0)
  })

  test('113: at quiet moments a door has as many references as there are opens and names', () => {
    expect(failuresOf('113')).toEqual([])
  })
})
