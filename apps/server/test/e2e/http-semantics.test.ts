import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

let server: ServerProcess
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'x-server-semantics-'))
  writeFileSync(join(folder, 'page.html'), '<p>page</p>')
  server = await ServerProcess.start({
    mounts: [
      { prefix: '/', module: handlerFile('hello') },
      { prefix: '/body', module: handlerFile('body') },
      { prefix: '/files', static: folder },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const head = 'Host: localhost\r\n'
const next = `GET /files/page.html HTTP/1.1\r\n${head}\r\n`

test('18: OPTIONS * is answered by the server, with its methods, whatever is mounted', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`OPTIONS * HTTP/1.1\r\n${head}\r\n`)
  const answer = await connection.response()
  expect(answer).toMatchObject({ status: 200, body: '' })
  expect(answer?.headers.get('content-length')).toBe('0')
  expect(answer?.headers.get('allow')).toBe('GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH')
  expect((await connection.get('/'))?.body).toBe('Hello, World!')
})

test('52: 5000 small headers are refused, and the connection ends', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`GET / HTTP/1.1\r\n${head}${'X: y\r\n'.repeat(5000)}\r\n${next}`)
  expect((await connection.response())?.status).toBe(431)
  expect(await connection.rest()).toBe('')
})

test('110: a good POST is answered before the 400 of a bad chunk behind it', async () => {
  using connection = await Connection.open(server.port)
  const post = `POST /body HTTP/1.1\r\n${head}`
  connection.send(`${post}Content-Length: 5\r\n\r\nhello${post}Transfer-Encoding: chunked\r\n\r\nx\r\n`)
  expect((await connection.response())?.body).toMatch(/^5 /u)
  expect((await connection.response())?.status).toBe(400)
  expect(await connection.rest()).toBe('')
})

test.each([
  ['115: TRACE', `TRACE / HTTP/1.1\r\n${head}\r\n`],
  ['116: CONNECT', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n'],
])('%s is refused with 501, and what follows is not taken for a request', async (_, text) => {
  using connection = await Connection.open(server.port)
  connection.send(text + next)
  expect((await connection.response())?.status).toBe(501)
  expect(await connection.rest()).toBe('')
})

test.each([
  ['117: h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'],
  ['118: a websocket', 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n'],
])('%s upgrade is ignored: an answer in HTTP/1.1, and the next request too', async (_, fields) => {
  using connection = await Connection.open(server.port)
  connection.send(`GET / HTTP/1.1\r\n${head}${fields}\r\n${next}`)
  const answer = await connection.response()
  expect(answer).toMatchObject({ status: 200, body: 'Hello, World!' })
  expect(answer?.headers.has('upgrade')).toBe(false)
  expect((await connection.response())?.body).toBe('<p>page</p>')
})

describe('a body', () => {
  test.each([
    ['72: with trailers, which are no part of it', '5\r\nhello\r\n0\r\nX: y\r\n\r\n', /^5 /u],
    ['71: with chunk extensions, which are ignored', '5;a="b;c"\r\nhello\r\n0\r\n\r\n', /^5 /u],
    ['69: that is empty', '0\r\n\r\n', /^0 /u],
  ])('%s', async (_, chunks, body) => {
    using connection = await Connection.open(server.port)
    connection.send(`POST /body HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\n${chunks}${next}`)
    expect((await connection.response())?.body).toMatch(body)
    expect((await connection.response())?.body).toBe('<p>page</p>')
  })

  test('that nobody wants is answered before it has come, and ends the connection', async () => {
    using connection = await Connection.open(server.port)
    connection.send(`POST /files/page.html HTTP/1.1\r\n${head}Content-Length: 1000000\r\n\r\nbegun`)
    const answer = await connection.response()
    expect(answer?.status).toBe(405)
    expect(answer?.headers.get('allow')).toBe('GET, HEAD')
    expect(answer?.headers.get('connection')).toBe('close')
    expect(await connection.rest()).toBe('')
  })

  test('111: that waits for 100 Continue is asked for when its handler reads it', async () => {
    using connection = await Connection.open(server.port)
    const fields = 'Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n'
    connection.send(`POST /body HTTP/1.1\r\n${head}${fields}\r\n`)
    expect((await connection.response())?.status).toBe(100)
    connection.send('5\r\nhello\r\n0\r\n\r\n')
    expect((await connection.response())?.body).toMatch(/^5 /u)
  })
})

test('114: HEAD of a file and of a handler have the head of GET and no body, in a pipeline too', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`HEAD / HTTP/1.1\r\n${head}\r\n`)
  connection.send(`HEAD /files/page.html HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)
  const [first = '', second = '', ...others] = (await connection.rest()).split('\r\n\r\n')
  expect(first).toMatch(/content-length: 13$/imu)
  expect(second).toMatch(/content-length: 11$/imu)
  expect(others).toEqual([''])
})
