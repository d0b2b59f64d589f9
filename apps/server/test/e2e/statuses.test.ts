import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

let server: ServerProcess
let folder: string
// What stream.js makes: more than any socket buffer takes at once.
const large = Buffer.from(Uint8Array.from({ length: 8 * 1024 * 1024 }, (_, index) => index % 251))

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'x-server-files-'))
  writeFileSync(join(folder, 'page.html'), '<p>page</p>')
  writeFileSync(join(folder, 'large.bin'), large)
  server = await ServerProcess.start({
    limits: { body: 1024 * 1024 },
    timeouts: { head: 300 },
    mounts: [
      { prefix: '/hello', module: handlerFile('hello') },
      { prefix: '/body', module: handlerFile('body') },
      { prefix: '/files', static: folder },
      { prefix: '/stream', module: handlerFile('stream'), options: { size: large.length } },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const head = 'Host: localhost\r\n'

describe('each status that a request can have', () => {
  test.each<[number, string, string]>([
    [200, 'a request', `GET /hello HTTP/1.1\r\n${head}\r\n`],
    [200, 'HTTP/1.0', 'GET /hello HTTP/1.0\r\n\r\n'],
    [301, 'a folder without its slash', `GET /files HTTP/1.1\r\n${head}\r\n`],
    [400, 'no Host', 'GET /hello HTTP/1.1\r\n\r\n'],
    [400, 'a space before the colon', 'GET /hello HTTP/1.1\r\nHost : localhost\r\n\r\n'],
    [400, 'a target above the root', `GET /../hello HTTP/1.1\r\n${head}\r\n`],
    [
      400,
      'both framings',
      `POST /body HTTP/1.1\r\n${head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    ],
    [404, 'no mount', `GET /nowhere HTTP/1.1\r\n${head}\r\n`],
    [404, 'no file', `GET /files/none.html HTTP/1.1\r\n${head}\r\n`],
    [
      405,
      'a method that files do not have',
      `POST /files/page.html HTTP/1.1\r\n${head}Content-Length: 0\r\n\r\n`,
    ],
    [408, 'half a head', `GET /hello HTTP/1.1\r\n`],
    [413, 'a body over the limit', `POST /body HTTP/1.1\r\n${head}Content-Length: 99999999\r\n\r\n`],
    [414, 'a target over the limit', `GET /${'a'.repeat(9000)} HTTP/1.1\r\n${head}\r\n`],
    [417, 'an expectation nobody knows', `GET /hello HTTP/1.1\r\n${head}Expect: cake\r\n\r\n`],
    [431, 'a head over the limit', `GET /hello HTTP/1.1\r\n${head}X: ${'a'.repeat(20_000)}\r\n\r\n`],
    [431, 'too many fields', `GET /hello HTTP/1.1\r\n${head}${'X: 1\r\n'.repeat(200)}\r\n`],
    [501, 'a method nobody knows', `BREW /hello HTTP/1.1\r\n${head}\r\n`],
    [501, 'a coding nobody knows', `POST /body HTTP/1.1\r\n${head}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    [505, 'another HTTP', `GET /hello HTTP/2.0\r\n${head}\r\n`],
  ])('%i for %s', async (status, _, text) => {
    using connection = await Connection.open(server.port)
    connection.send(text)
    expect((await connection.response())?.status).toBe(status)
  })
})

test('case 110: a good pipelined request is answered before the 400 of the bad one behind it', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`GET /hello HTTP/1.1\r\n${head}\r\nGET /hello HTTP/1.1\r\n\r\n`)
  expect((await connection.response())?.status).toBe(200)
  expect((await connection.response())?.status).toBe(400)
  expect(await connection.rest()).toBe('')
})

test('pipelined requests are answered in their order', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`GET /hello HTTP/1.1\r\n${head}\r\nGET /none HTTP/1.1\r\n${head}\r\n`.repeat(50))
  for (let pair = 0; pair < 50; pair++) {
    expect((await connection.response())?.status).toBe(200)
    expect((await connection.response())?.status).toBe(404)
  }
})

test('an idle connection is closed after its timeout, from a timer in another thread', async () => {
  await using impatient = await ServerProcess.start({
    timeouts: { idle: 600 },
    mounts: [{ prefix: '/hello', module: handlerFile('hello') }],
  })
  using connection = await Connection.open(impatient.port)
  expect((await connection.get('/hello'))?.status).toBe(200)
  const since = performance.now()
  expect(await connection.rest()).toBe('')
  expect(performance.now() - since).toBeGreaterThan(550)
})

test('HEAD has the length and no body', async () => {
  using connection = await Connection.open(server.port)
  connection.send(`HEAD /hello HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)
  const text = await connection.rest()
  expect(text).toMatch(/^HTTP\/1.1 200 /u)
  expect(text).toMatch(/content-length: 13\r\n/iu)
  expect(text.endsWith('\r\n\r\n')).toBe(true)
})

describe('responses arrive whole, however they are given', () => {
  test.each([
    ['an async iterable, chunked', '/stream/iterable'],
    ['a ReadableStream, chunked', '/stream/readable'],
    ['a WHATWG Response', '/stream/response'],
    ['one large Uint8Array', '/stream/bytes'],
    ['a file, by sendfile', '/files/large.bin'],
  ])('%s', async (_, path) => {
    const response = await fetch(server.url(path))
    expect(response.status).toBe(200)
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.length).toBe(large.length)
    expect(bytes.equals(large)).toBe(true)
  })

  test('a client that reads nothing for a while holds nobody up', async () => {
    using sleeper = await Connection.open(server.port)
    sleeper.pause()
    sleeper.send(`GET /stream/iterable HTTP/1.1\r\n${head}Connection: close\r\n\r\n`)
    using other = await Connection.open(server.port)
    for (let round = 0; round < 100; round++) expect((await other.get('/hello'))?.status).toBe(200)
    sleeper.resume()
    expect((await sleeper.rest()).length).toBeGreaterThan(large.length)
  })

  test('a body that fails midway is cut off, and the client can tell', async () => {
    const response = await fetch(server.url('/stream/fails'))
    expect(response.status).toBe(200)
    await expect(response.arrayBuffer()).rejects.toThrow()
  })
})

describe('bodies arrive whole, whatever their framing', () => {
  const bytes = randomBytes(700_000)
  const expected = `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`

  test.each([
    ['Content-Length', { 'content-length': bytes.length }],
    ['chunked', { 'transfer-encoding': 'chunked' }],
    ['100-continue', { 'content-length': bytes.length, expect: '100-continue' }],
  ])('%s', async (_, headers) => {
    const answer = await new Promise<string>((resolve, reject) => {
      const outgoing = request(server.url('/body'), { method: 'POST', headers }, (response) => {
        response.setEncoding('utf8')
        let text = ''
        response
          .on('data', (piece: string) => (text += piece))
          .on('end', () => {
            resolve(text)
          })
      })
      outgoing.on('error', reject)
      const send = (): void => {
        // In pieces of their own, so that the server has to wait for more.
        for (let at = 0; at < bytes.length; at += 64 * 1024)
          outgoing.write(bytes.subarray(at, at + 64 * 1024))
        outgoing.end()
      }
      if ('expect' in headers) outgoing.on('continue', send).flushHeaders()
      else send()
    })
    expect(answer).toBe(expected)
  })
})
