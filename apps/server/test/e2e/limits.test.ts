import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseExposition } from '../exposition-parser.ts'
import { Connection } from './connection.ts'
import { handlerFile, ServerProcess } from './server-process.ts'

const mounts = [
  { prefix: '/', module: handlerFile('hello') },
  { prefix: '/body', module: handlerFile('body') },
  { prefix: '/metrics', module: 'builtin:metrics' },
]

/** CPU time of a process in clock ticks, of 10 ms. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /su, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

async function pauses(connection: Connection): Promise<number> {
  const families = parseExposition((await connection.get('/metrics'))?.body ?? '')
  return families.get('x_server_accept_pauses_total')?.samples.get('{"reason":"limit"}') ?? NaN
}

test('limits.connections: who comes beyond waits in the backlog and is served when another has gone', async () => {
  await using server = await ServerProcess.start({ mounts, limits: { connections: 2 } })
  using first = await Connection.open(server.port)
  using second = await Connection.open(server.port)
  await first.get('/')
  await second.get('/')
  // Connected by the kernel, and not accepted.
  const waiting = await Promise.all(Array.from({ length: 3 }, () => Connection.open(server.port)))
  const answers = waiting.map((connection) => connection.get('/'))
  await expect.poll(() => pauses(first)).toBe(1)
  // Waiting costs nothing: these requests take a few ticks, a loop would take some for every 10 ms.
  const before = [cpuTicks(server.pid), performance.now()] as const
  for (let count = 0; count < 50; count++) await first.get('/')
  expect(await pauses(first)).toBe(1)
  expect(cpuTicks(server.pid) - before[0]).toBeLessThan(30)
  second[Symbol.dispose]()
  for (const [index, answer] of answers.entries()) {
    expect((await answer)?.status).toBe(200)
    waiting[index]?.[Symbol.dispose]()
  }
  const { stdout } = await server.command('status', '--json')
  const { counters } = JSON.parse(stdout) as { counters: Record<string, number> }
  expect(counters.connections).toBeLessThanOrEqual(2)
  expect(counters.acceptPausesLimit).toBeGreaterThanOrEqual(1)
})

test('limits.connections: a stop does not wait for room', async () => {
  await using server = await ServerProcess.start({ mounts, limits: { connections: 1 } })
  using first = await Connection.open(server.port)
  await first.get('/')
  using waiting = await Connection.open(server.port)
  const answer = waiting.get('/')
  await expect.poll(() => pauses(first)).toBe(1)
  server.signal('SIGTERM')
  expect((await answer)?.status).toBe(200)
  expect(await server.exited()).toBe(0)
})

test('limits.connections: a connection that its worker has killed makes room', async () => {
  const faulty = { prefix: '/faulty', module: handlerFile('faulty') }
  await using server = await ServerProcess.start({ mounts: [...mounts, faulty], limits: { connections: 1 } })
  using first = await Connection.open(server.port)
  await first.get('/')
  using waiting = await Connection.open(server.port)
  const answer = waiting.get('/')
  await expect.poll(() => pauses(first)).toBe(1)
  first.send('GET /faulty/exit HTTP/1.1\r\nHost: a\r\n\r\n')
  expect((await answer)?.status).toBe(200)
})

test('limits.requestsPerConnection: the response to the last one closes', async () => {
  await using server = await ServerProcess.start({ mounts, limits: { requestsPerConnection: 2 } })
  using connection = await Connection.open(server.port)
  expect((await connection.get('/'))?.headers.has('connection')).toBe(false)
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const last = await connection.response()
  expect([last?.status, last?.headers.get('connection')]).toEqual([200, 'close'])
  expect(await connection.rest()).toBe('')
})

const bounded = (most: number, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  mounts: [...mounts, { prefix: '/faulty', module: handlerFile('faulty') }],
  limits: { connectionsPerAddress: most },
  ...more,
})

/** What becomes of a connection: it is answered, told that it is one too many, or closed at once. */
async function outcome(connection: Connection): Promise<number | undefined> {
  return (await connection.get('/'))?.status
}

async function outcomeOfNext(server: ServerProcess): Promise<number | undefined> {
  using next = await Connection.open(server.port)
  return await outcome(next)
}

async function refused(connection: Connection): Promise<number> {
  const families = parseExposition((await connection.get('/metrics'))?.body ?? '')
  return families.get('x_server_connections_refused_total')?.samples.get('{}') ?? NaN
}

test('limits.connectionsPerAddress: one too many is told so and closed, another address is not, and who leaves makes room', async () => {
  await using server = await ServerProcess.start(bounded(2))
  using first = await Connection.open(server.port)
  using second = await Connection.open(server.port)
  expect([await outcome(first), await outcome(second)]).toEqual([200, 200])
  using third = await Connection.open(server.port)
  const answer = await third.get('/')
  expect([answer?.status, answer?.headers.get('connection')]).toEqual([503, 'close'])
  expect(answer?.body).toContain('too many connections from this address')
  expect(await third.rest()).toBe('')
  using elsewhere = await Connection.open(server.port, '127.0.0.2')
  expect(await outcome(elsewhere)).toBe(200)
  expect(await refused(first)).toBe(1)
  second[Symbol.dispose]()
  await expect.poll(() => outcomeOfNext(server)).toBe(200)
})

test('limits.connectionsPerAddress: a flood has exactly so many served, by all workers together, and holds no more open than twice that', async () => {
  await using server = await ServerProcess.start(bounded(5))
  using other = await Connection.open(server.port, '127.0.0.2')
  const flood = await Promise.all(Array.from({ length: 100 }, () => Connection.open(server.port)))
  const outcomes = await Promise.all(flood.map(outcome))
  expect(outcomes.filter((status) => status === 200)).toHaveLength(5)
  expect(outcomes.filter((status) => status === 503).length).toBeGreaterThanOrEqual(1)
  expect(new Set(outcomes)).toEqual(new Set([200, 503, ...(outcomes.includes(undefined) ? [undefined] : [])]))
  expect(await refused(other)).toBe(95)
  const { stdout } = await server.command('status', '--json')
  const { counters } = JSON.parse(stdout) as { counters: Record<string, number> }
  expect(counters.connections).toBeLessThanOrEqual(11)
  for (const connection of flood) connection[Symbol.dispose]()
})

test('limits.connectionsPerAddress: a connection that dies with its worker makes room', async () => {
  await using server = await ServerProcess.start(bounded(1))
  using victim = await Connection.open(server.port)
  expect((await victim.get('/faulty/exit'))?.status).toBe(500)
  // Its answer may be there before it has been counted out.
  await expect.poll(() => outcomeOfNext(server)).toBe(200)
})

test('limits.connectionsPerAddress: connections that a new process has taken over count in it', async () => {
  await using server = await ServerProcess.start(bounded(2))
  using first = await Connection.open(server.port)
  using second = await Connection.open(server.port)
  expect([await outcome(first), await outcome(second)]).toEqual([200, 200])
  expect((await server.command('restart')).code).toBe(0)
  using third = await Connection.open(server.port)
  expect(await outcome(third)).toBe(503)
  expect([await outcome(first), await outcome(second)]).toEqual([200, 200])
  second[Symbol.dispose]()
  await expect.poll(() => outcomeOfNext(server)).toBe(200)
})
