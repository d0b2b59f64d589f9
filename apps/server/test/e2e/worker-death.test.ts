import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const mounts = [
  { prefix: '/', module: handlerFile('hello') },
  { prefix: '/faulty', module: handlerFile('faulty') },
  { prefix: '/worker', module: handlerFile('worker') },
]

test('a worker that dies is replaced; connections that it did not hold go on', async () => {
  await using server = await ServerProcess.start({ mounts })
  const others = await Promise.all(Array.from({ length: 20 }, () => Connection.open(server.port)))
  for (const other of others) expect((await other.get('/'))?.status).toBe(200)
  for (let round = 0; round < 3; round++) {
    using victim = await Connection.open(server.port)
    // The request that was in the thread's hands gets an honest answer.
    expect((await victim.get('/faulty/crash'))?.status).toBe(500)
    for (const other of others) expect((await other.get('/'))?.status).toBe(200)
  }
  for (const other of others) other[Symbol.dispose]()
  expect(await server.references()).toEqual([0, 0, 0])
  // Both workers serve again.
  const seen = new Set<string>()
  await expect
    .poll(async () => {
      const answers = await Promise.all(Array.from({ length: 16 }, () => fetch(server.url('/worker'))))
      for (const answer of answers) seen.add(await answer.text())
      return seen.size
    })
    .toBe(2)
})

test('a worker that dies takes no connection along that it had accepted or taken, but not begun to handle', async () => {
  await using server = await ServerProcess.start({ mounts, workers: 1 })
  using busy = await Connection.open(server.port)
  using victim = await Connection.open(server.port)
  expect((await victim.get('/'))?.status).toBe(200)
  busy.send('GET /faulty/busy HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await expect.poll(async () => (await server.references())[1]).toBe(1)
  const ended = victim.get('/faulty/exit')
  const others = await Promise.all(Array.from({ length: 5 }, () => Connection.open(server.port)))
  expect((await ended)?.status).toBe(500)
  for (const other of others) expect((await other.get('/'))?.status).toBe(200)
  for (const other of others) other[Symbol.dispose]()
})

test('a worker that dies with a request that it has taken over whole is told so, too, and its connection ends', async () => {
  await using server = await ServerProcess.start({
    mounts: [...mounts, { prefix: '/echo', module: handlerFile('echo') }],
  })
  using connection = await Connection.open(server.port)
  const fifo = join(server.folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
  connection.send(request(`/echo?fifo=${fifo}`) + request('/faulty/crash'))
  await expect.poll(async () => (await server.references())[1]).toBe(1)
  expect((await server.command('restart')).code).toBe(0)
  writeFileSync(fifo, 'go on')
  expect((await connection.response())?.status).toBe(200)
  // No event has told of it: the new process had it from the old one.
  expect((await connection.response())?.status).toBe(500)
  expect(await connection.response()).toBeUndefined()
  expect((await fetch(server.url('/'))).status).toBe(200)
})

test('a handler that throws, rejects, returns nothing, or answers with what cannot be sent is a 500, a log line and no leak', async () => {
  await using server = await ServerProcess.start({ mounts })
  using connection = await Connection.open(server.port)
  for (const path of ['throws', 'rejects', 'header', 'status', 'nothing'].map((way) => `/faulty/${way}`)) {
    expect({ path, status: (await connection.get(path))?.status }).toEqual({ path, status: 500 })
    await server.logged(({ msg, target }) => msg === 'the handler failed' && target === path)
  }
  // The connection goes on.
  expect((await connection.get('/faulty'))?.body).toBe('well')
  expect(await server.references()).toEqual([0, 0, 0])
})

test('a cleanup that throws is a log line, and the server stops all the same', async () => {
  await using server = await ServerProcess.start({ mounts })
  server.signal('SIGTERM')
  const { mount } = await server.logged(({ msg }) => msg === 'the cleanup failed')
  expect(mount).toBe('/faulty')
  expect(await server.exited()).toBe(0)
})
