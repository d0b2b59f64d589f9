import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { parseExposition } from '../exposition-parser.ts'
import { Connection } from './connection.ts'
import { handlerFile, ServerProcess } from './server-process.ts'

const mounts = [
  { prefix: '/metrics', module: 'builtin:metrics' },
  { prefix: '/hello', module: handlerFile('hello') },
]

async function askControl(
  server: ServerProcess,
  path: string,
): Promise<{ status: number; type: string; body: string }> {
  const asked = request({ socketPath: server.control, path, agent: false }).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const { statusCode = 0, headers } = response
  return { status: statusCode, type: headers['content-type'] ?? '', body: await text(response) }
}

test.each(['handler', 'control socket'])('metrics at the %s tell what was served', async (where) => {
  await using server = await ServerProcess.start({ mounts })
  using connection = await Connection.open(server.port)
  for (let count = 0; count < 3; count++) await connection.get('/hello')
  await connection.get('/none')
  await server.command('replace', '/hello', '--module', handlerFile('hello'))
  const answer =
    where === 'handler' ? await fetch(server.url('/metrics')) : await askControl(server, '/metrics')
  const body = typeof answer.body === 'string' ? answer.body : await (answer as Response).text()
  const type =
    'type' in answer && where !== 'handler' ? answer.type : (answer as Response).headers.get('content-type')
  expect([answer.status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  const families = parseExposition(body)
  const sample = (name: string, labels: Record<string, string> = {}): number | undefined =>
    families.get(name)?.samples.get(JSON.stringify(labels))
  expect(sample('x_server_responses_total', { status: '2xx' })).toBe(3)
  expect(sample('x_server_responses_total', { status: '4xx' })).toBe(1)
  const hello = { prefix: '/hello', host: '' }
  expect(sample('x_server_mount_requests_total', hello)).toBe(3)
  expect(sample('x_server_mount_references', hello)).toBe(0)
  expect(sample('x_server_mount_generation', hello)).toBeGreaterThan(2)
  expect(sample('x_server_connections', { phase: 'idle' })).toBe(1)
  expect(sample('x_server_ready')).toBe(1)
  expect(sample('x_server_workers')).toBe(2)
  expect(sample('process_open_fds')).toBeGreaterThan(5)
  expect(sample('process_cpu_seconds_total')).toBeGreaterThan(0)
  expect(sample('process_resident_memory_bytes')).toBeGreaterThan(1e6)
  const now = Date.now() / 1000
  const started = sample('process_start_time_seconds') ?? 0
  expect(started).toBeLessThan(now)
  expect(started).toBeGreaterThan(now - 60)
})
