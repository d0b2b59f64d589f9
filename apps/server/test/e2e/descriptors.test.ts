import { expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { Load } from './load.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const mounts = [{ prefix: '/', module: handlerFile('hello') }]

test('without descriptors left, those that wait are accepted as soon as others leave', async () => {
  // Enough for three threads to load their modules at the same time.
  await using server = await ServerProcess.start({ mounts }, 200)
  const connections = await Promise.all(Array.from({ length: 200 }, () => Connection.open(server.port)))
  const answers = connections.map((connection) => connection.get('/'))
  await server.logged(({ errno }) => errno === 24)
  // Those that are accepted are served meanwhile.
  expect((await answers[0])?.status).toBe(200)
  for (const connection of connections.slice(0, 120)) connection[Symbol.dispose]()
  for (const answer of answers.slice(120)) expect((await answer)?.status).toBe(200)
  for (const connection of connections) connection[Symbol.dispose]()
})

test('connections that come and go, in every way, leave no descriptor behind', async () => {
  await using server = await ServerProcess.start({ mounts })
  await new Load(server.port, '/', 4).stop()
  await expect.poll(async () => (await status(server)).connections).toBe(0)
  const before = server.descriptors()
  for (let round = 0; round < 20; round++) {
    const connections = await Promise.all(Array.from({ length: 20 }, () => Connection.open(server.port)))
    for (const [index, connection] of connections.entries()) {
      if (index % 4 === 0) await connection.get('/')
      if (index % 4 === 1) connection.send('GET / HT')
      if (index % 4 === 2) connection.send('nonsense\r\n\r\n')
      if (index % 5 === 0) connection.end()
    }
    for (const connection of connections) connection[Symbol.dispose]()
  }
  await expect.poll(async () => (await status(server)).connections).toBe(0)
  expect(server.descriptors()).toBe(before)
})

test('15: clients that vanish in the middle of a body leave nothing behind: their leases come back, once', async () => {
  await using server = await ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('body') }] })
  const before = server.descriptors()
  const connections = await Promise.all(Array.from({ length: 10 }, () => Connection.open(server.port)))
  for (const connection of connections) {
    connection.send('POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello')
  }
  await expect.poll(() => server.references()).toEqual([10])
  for (const [index, connection] of connections.entries()) {
    if (index % 2 === 0) connection[Symbol.dispose]()
    else connection.end()
  }
  await expect.poll(async () => (await status(server)).connections).toBe(0)
  expect(await server.references()).toEqual([0])
  expect(server.descriptors()).toBe(before)
})

async function status(server: ServerProcess): Promise<{ connections?: number }> {
  const { stdout } = await server.command('status', '--json')
  return (JSON.parse(stdout) as { counters: { connections?: number } }).counters
}
