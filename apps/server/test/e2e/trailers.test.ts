import { expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const start = (): Promise<ServerProcess> =>
  ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('trailers') }] })

const post = (path: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`
const end = /x-pid: \d+\r\n\r\n$/u

test('72: a handler has the trailers of its request, and gives its response some', async () => {
  await using server = await start()
  using connection = await Connection.open(server.port)
  for (const path of ['/', '/late']) {
    connection.send(`${post(path)}5\r\nhello\r\n0\r\nX: y\r\nHost: b\r\nx: z\r\n\r\n`)
    const text = await connection.until(end)
    expect(text).toContain('\r\ntrailer: x-echo, x-pid\r\n')
    expect(text).toMatch(/\r\n\r\n5\r\nhello\r\n0\r\nx-echo: y; z\r\nx-pid: \d+\r\n\r\n$/u)
  }
})

test('a response that the server closes its connection with has its trailers', async () => {
  await using server = await start()
  using connection = await Connection.open(server.port)
  using idle = await Connection.open(server.port)
  idle.send(`${post('/')}0\r\n\r\n`)
  await idle.until(end)
  connection.send(`${post('/late')}5\r\nhello\r\n`)
  await expect.poll(async () => (await server.references())[0]).toBe(1)
  server.signal('SIGTERM')
  expect(await idle.rest()).toBe('')
  idle.end()
  connection.send('0\r\nX: y\r\n\r\n')
  const text = await connection.rest()
  expect(text.toLowerCase()).toContain('\r\nconnection: close\r\n')
  expect(text).toMatch(/\r\n0\r\nx-echo: y\r\nx-pid: \d+\r\n\r\n$/u)
  connection.end()
  expect(await server.exited()).toBe(0)
})
