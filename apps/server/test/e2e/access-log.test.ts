import { expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { handlerFile, ServerProcess } from './server-process.ts'

const mounts = ['hello', 'faulty', 'body'].map((name) => ({ prefix: `/${name}`, module: handlerFile(name) }))

test('log.requests writes one line a request, whatever the level', async () => {
  await using server = await ServerProcess.start({
    mounts,
    log: { level: 'info', requests: true },
    workers: 1,
  })
  using connection = await Connection.open(server.port)
  const long = `/hello?${'x'.repeat(2000)}`
  for (const target of ['/hello?a=1', '/none', '/faulty/throws', '/faulty/rejects', long]) {
    await connection.get(target)
  }
  connection.send('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab')
  await connection.response()
  await server.logged(({ msg, target }) => msg === 'request' && target === '/body')
  const lines = server.log.filter(({ msg }) => msg === 'request')
  const common = { remote: '127.0.0.1', method: 'GET', worker: 1 }
  expect(lines).toEqual([
    expect.objectContaining({ ...common, target: '/hello?a=1', status: 200, mount: '/hello', generation: 1 }),
    expect.objectContaining({ ...common, target: '/none', status: 404 }),
    expect.objectContaining({ ...common, target: '/faulty/throws', status: 500, mount: '/faulty' }),
    expect.objectContaining({ ...common, target: '/faulty/rejects', status: 500, mount: '/faulty' }),
    expect.objectContaining({ ...common, target: long.slice(0, 1024), status: 200, mount: '/hello' }),
    expect.objectContaining({ ...common, method: 'POST', target: '/body', status: 200, mount: '/body' }),
  ])
  expect(lines[1]).not.toHaveProperty('mount')
  for (const { ms } of lines) expect(ms).toBeGreaterThanOrEqual(0)
  const failure = server.log.find(({ msg }) => msg === 'the handler failed')
  expect(failure?.request).toBe(lines[2]?.request)
})

test('a stop writes what was not written yet', async () => {
  await using server = await ServerProcess.start({ mounts, log: { requests: true } })
  using connection = await Connection.open(server.port)
  await connection.get('/hello')
  server.signal('SIGTERM')
  expect(await server.exited()).toBe(0)
  await server.logged(({ msg }) => msg === 'request')
})

test('without it no request has a line', async () => {
  await using server = await ServerProcess.start({ mounts })
  using connection = await Connection.open(server.port)
  await connection.get('/hello')
  server.signal('SIGTERM')
  expect(await server.exited()).toBe(0)
  expect(server.log.map(({ msg }) => msg)).not.toContain('request')
})
