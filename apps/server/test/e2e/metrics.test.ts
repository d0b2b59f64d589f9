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

test('durations count each answered request once, in the bucket of its time, and go on in a new process', async () => {
  const slow = { prefix: '/slow', module: handlerFile('slow'), options: { milliseconds: 60 } }
  const stream = { prefix: '/stream', module: handlerFile('stream'), options: { size: 300_000 } }
  await using server = await ServerProcess.start({ mounts: [...mounts, slow, stream] })
  using connection = await Connection.open(server.port)
  const durations = async (): Promise<{ count: number; sum: number; within: (bound: string) => number }> => {
    const samples = parseExposition(await fromCommand(server)).get(
      'x_server_request_duration_seconds',
    )?.samples
    const of = (key: string): number => samples?.get(key) ?? NaN
    const within = (bound: string): number => of(`_bucket{"le":"${bound}"}`)
    return { count: of('_count{}'), sum: of('_sum{}'), within }
  }
  expect((await durations()).count).toBe(0)
  for (let count = 0; count < 5; count++) await connection.get('/hello')
  await connection.get('/slow')
  // The client may have the response before it is counted.
  await expect.poll(async () => (await durations()).count).toBe(6)
  const first = await durations()
  expect(first.within('+Inf') - first.within('0.05')).toBeGreaterThanOrEqual(1)
  expect(first.sum).toBeGreaterThan(0.06)
  // Whatever way the response goes, and requests of a pipeline one by one; what is malformed is no request.
  expect((await (await fetch(server.url('/stream/iterable'))).arrayBuffer()).byteLength).toBe(300_000)
  expect((await (await fetch(server.url('/stream/bytes'))).arrayBuffer()).byteLength).toBe(300_000)
  connection.send('GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3))
  for (let count = 0; count < 3; count++) await connection.response()
  using malformed = await Connection.open(server.port)
  expect((await malformed.get('/\u0001'))?.status).toBe(400)
  await expect.poll(async () => (await durations()).count).toBe(11)
  // One that breaks off has not been answered.
  await expect(fetch(server.url('/stream/failing')).then((response) => response.text())).rejects.toThrow()
  expect((await server.command('restart', '--wait')).code).toBe(0)
  await connection.get('/hello')
  await expect.poll(async () => (await durations()).count).toBe(12)
  expect((await durations()).sum).toBeGreaterThan(first.sum)
})
