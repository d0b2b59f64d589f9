import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { Load } from './load.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

test('SIGTERM under load: every response is complete, and the exit code is 0', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('hello') }] })
  const load = new Load(server.port, '/', 32)
  await new Promise((resolve) => setImmediate(resolve))
  await expect.poll(async () => (await fetch(server.url('/'))).status).toBe(200)
  server.signal('SIGTERM')
  const { statuses, broken } = await load.ended()
  expect(await server.exited()).toBe(0)
  expect(broken).toBe(0)
  expect([...statuses.keys()]).toEqual([200])
})

test('SIGTERM waits for the request that is with its handler, and then closes its connection', async () => {
  await using server = await ServerProcess.start({
    mounts: [{ prefix: '/', module: handlerFile('slow'), options: { milliseconds: 500 } }],
  })
  using connection = await Connection.open(server.port)
  connection.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await server.logged(({ msg }) => msg === 'begun')
  server.signal('SIGTERM')
  const response = await connection.response()
  expect(response?.body).toBe('generation 1')
  expect(response?.headers.get('connection')).toBe('close')
  expect(await server.exited()).toBe(0)
})

test('SIGTERM lets idle connections go without a reset', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('hello') }] })
  using connection = await Connection.open(server.port)
  expect((await connection.get('/'))?.status).toBe(200)
  server.signal('SIGTERM')
  expect(await connection.rest()).toBe('')
  connection.end()
  expect(await server.exited()).toBe(0)
})

test('after SIGTERM nobody can connect', async () => {
  await using server = await ServerProcess.start({
    mounts: [{ prefix: '/', module: handlerFile('slow'), options: { milliseconds: 500 } }],
  })
  const slow = fetch(server.url('/'))
  await server.logged(({ msg }) => msg === 'begun')
  server.signal('SIGTERM')
  await expect.poll(() => connecting(server.port)).toBe('ECONNREFUSED')
  expect((await slow).status).toBe(200)
  expect(await server.exited()).toBe(0)
})

test('a second SIGINT ends the server at once', async () => {
  await using server = await ServerProcess.start({
    mounts: [{ prefix: '/', module: handlerFile('slow'), options: { milliseconds: 60_000 } }],
  })
  using connection = await Connection.open(server.port)
  connection.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await server.logged(({ msg }) => msg === 'begun')
  server.signal('SIGINT')
  await server.logged(({ msg }) => msg.startsWith('stopping'))
  server.signal('SIGINT')
  expect(await server.exited()).toBe(130)
})

test('a drain that takes longer than its timeout is ended, and the exit code says so', async () => {
  await using server = await ServerProcess.start({
    timeouts: { drain: 300 },
    mounts: [{ prefix: '/', module: handlerFile('slow'), options: { milliseconds: 60_000 } }],
  })
  using connection = await Connection.open(server.port)
  connection.send('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await server.logged(({ msg }) => msg === 'begun')
  server.signal('SIGTERM')
  expect(await server.exited()).toBe(1)
})

test('53: a request that is looked up after the table has stopped gets a 503, and the connection ends', async () => {
  const blocking = (prefix: string, milliseconds: number): object => ({
    prefix,
    module: handlerFile('blocking'),
    options: { milliseconds },
  })
  await using server = await ServerProcess.start({
    workers: 1,
    timeouts: { drain: 200 },
    mounts: [blocking('/short', 200), blocking('/long', 700)],
  })
  const connections = await Promise.all([1, 2, 3].map(() => Connection.open(server.port)))
  const [first, second, third] = connections
  const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  first?.send(get('/short'))
  await server.logged(({ msg }) => msg === 'begun')
  // Read in one batch by the thread when it is free; the handler of the first keeps it beyond the drain's timeout.
  second?.send(get('/long'))
  third?.send(get('/short'))
  server.signal('SIGTERM')
  expect((await second?.response())?.status).toBe(200)
  const refused = await third?.response()
  expect(refused).toMatchObject({ status: 503, body: '503: the server is stopping\n' })
  expect(refused?.headers.get('connection')).toBe('close')
  expect(await third?.rest()).toBe('')
  expect(await server.exited()).toBe(1)
  for (const connection of connections) connection[Symbol.dispose]()
})

test('a worker that dies while the server stops does not end the stop', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('faulty') }] })
  using victim = await Connection.open(server.port)
  victim.send('POST /crash-when-told HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n')
  await server.logged(({ msg }) => msg === 'begun')
  server.signal('SIGTERM')
  await expect.poll(() => connecting(server.port)).toBe('ECONNREFUSED')
  victim.send('x')
  expect((await victim.response())?.status).toBe(500)
  expect(await server.exited()).toBe(0)
})

/** How an attempt to connect ends. */
function connecting(port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve('connected')
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code)
    })
  })
}
