import { expect, test } from 'vitest'
import { parseExposition } from '../exposition-parser.ts'
import { Connection } from './connection.ts'
import { handlerFile, ServerProcess } from './server-process.ts'

const mounts = [
  { prefix: '/metrics', module: 'builtin:metrics' },
  { prefix: '/hello', module: handlerFile('hello') },
]

async function fromHandler(server: ServerProcess): Promise<string> {
  const response = await fetch(server.url('/metrics'))
  const type = response.headers.get('content-type')
  expect([response.status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
  return response.text()
}

async function fromCommand(server: ServerProcess): Promise<string> {
  const { code, stdout } = await server.command('metrics')
  expect(code).toBe(0)
  return stdout
}

test.each([
  ['handler', fromHandler],
  ['command', fromCommand],
])('metrics of the %s tell what was served', async (_, ask) => {
  await using server = await ServerProcess.start({ mounts })
  using connection = await Connection.open(server.port)
  for (let count = 0; count < 3; count++) await connection.get('/hello')
  await connection.get('/none')
  await server.command('replace', '/hello', '--module', handlerFile('hello'))
  const body = await ask(server)
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
