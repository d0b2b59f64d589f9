import { createHash, randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromFetch } from '../../src/index.ts'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({
    workers: 1,
    limits: { body: 8 * 1024 * 1024 },
    mounts: [
      { prefix: '/fetch', module: handlerFile('fetch') },
      { prefix: '/hono', module: fileURLToPath(new URL('../../examples/hono.js', import.meta.url)) },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(server.url(`/fetch${path}`), init)
const seen = async (): Promise<Record<string, number>> =>
  (await (await ask('/seen')).json()) as Record<string, number>

describe('a request', () => {
  test('is a Request with the whole URL, and the context beside it', async () => {
    const answer = await (await ask('/request?a=b', { headers: { 'x-field': 'One' } })).json()
    expect(answer).toMatchObject({
      method: 'GET',
      url: server.url('/fetch/request?a=b'),
      isRequest: true,
      mountPath: '/fetch',
      path: '/request',
    })
    const { headers } = answer as { headers: [string, string][] }
    expect(headers).toContainEqual(['x-field', 'One'])
    expect(headers.map(([name]) => name)).not.toContain('connection')
  })

  test('may be copied with its body', async () => {
    const response = await ask('/copies', { method: 'POST', body: 'hallo' })
    expect([response.headers.get('x-copy'), await response.text()]).toEqual(['1', 'hallo'])
  })

  test('has a body of 5 MB, with a length or in chunks', async () => {
    const body = randomBytes(5_000_000)
    const hash = createHash('sha256').update(body).digest('hex')
    expect(await (await ask('/upload', { method: 'POST', body })).text()).toBe(hash)
    const stream = new Blob([body]).stream()
    expect(await (await ask('/upload', { method: 'POST', body: stream, duplex: 'half' })).text()).toBe(hash)
  })

  test('has a form', async () => {
    const body = new FormData()
    body.append('name', 'anna')
    expect(await (await ask('/form', { method: 'POST', body })).json()).toEqual([['name', 'anna']])
  })

  test('with a body over the limit is refused when that turns out', async () => {
    using connection = await Connection.open(server.port)
    const chunk = `10000\r\n${'a'.repeat(0x10000)}\r\n`
    connection.send('POST /fetch/upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    connection.send(`${chunk.repeat(128)}1\r\na\r\n`)
    expect((await connection.response())?.status).toBe(413)
  })

  test('for a host that is no part of a URL is refused', async () => {
    using connection = await Connection.open(server.port)
    connection.send('GET /fetch/request HTTP/1.1\r\nHost: 1.2.3.999\r\n\r\n')
    expect((await connection.response())?.status).toBe(400)
  })
})

describe('a response', () => {
  test('has all fields but those of a connection', async () => {
    const { status, headers } = await ask('/fields')
    expect([status, headers.getSetCookie(), headers.has('keep-alive')]).toEqual([204, ['a=1', 'b=2'], false])
    using connection = await Connection.open(server.port)
    connection.send('GET /fetch/close HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await connection.rest()).toMatch(/^connection: close\r$/imu)
  })

  test('is streamed while the request is', async () => {
    const body = randomBytes(2_000_000)
    const response = await ask('/echo', { method: 'POST', body })
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), body)).toBe(0)
  })

  test('is made only as far as the client takes it, and its handler hears that the client has gone', async () => {
    const connection = await Connection.open(server.port)
    connection.pause()
    connection.send('GET /fetch/endless HTTP/1.1\r\nHost: a\r\n\r\n')
    await expect.poll(() => server.references()).toContain(1)
    // Sockets hold a few megabytes; without backpressure this would not stand still.
    let pulled = -1
    await expect
      .poll(async () => {
        const before = pulled
        pulled = (await seen()).pulled ?? 0
        return pulled > 0 && pulled === before
      })
      .toBe(true)
    expect(await seen()).toMatchObject({ cancelled: 0, aborted: 0 })
    connection[Symbol.dispose]()
    await expect.poll(seen).toMatchObject({ cancelled: 1, aborted: 1 })
  })

  test('that breaks is broken off', async () => {
    const response = await ask('/breaks')
    await expect(response.text()).rejects.toThrow()
    await server.logged(({ err }) => (err as Error | undefined)?.message === 'broken')
  })

  test('that is there at once has a length; one that breaks before its first piece is a 500', async () => {
    expect((await ask('/copies', { method: 'POST', body: 'hallo' })).status).toBe(200)
    const { headers } = await ask('/absent')
    expect([headers.get('content-length'), headers.has('transfer-encoding')]).toEqual(['13', false])
    expect((await ask('/absent', { method: 'HEAD' })).headers.get('content-length')).toBe('13')
    expect((await ask('/broken')).status).toBe(500)
  })

  test('that is none is a failure of the handler', async () => {
    for (const path of ['/throws', '/nothing', '/later']) expect((await ask(path)).status).toBe(500)
    await server.logged(
      ({ err }) => (err as Error | undefined)?.message === 'the fetch handler has not returned a Response',
    )
  })
})

describe('hono', () => {
  const hono = (path: string, init?: RequestInit): Promise<Response> =>
    fetch(server.url(`/hono${path}`), init)

  test('answers GET and POST, as in the example', async () => {
    expect(await (await hono('/greetings/anna')).json()).toEqual({
      greeting: 'Hello, anna',
      mount: '/hono',
    })
    expect(await (await hono('/sums', { method: 'POST', body: '[1, 2, 3]' })).json()).toEqual({ sum: 6 })
    expect((await hono('/greetings/anna', { method: 'HEAD' })).status).toBe(200)
  })

  test('streams through a transform', async () => {
    const body = 'anna '.repeat(200_000)
    const response = await hono('/upper', { method: 'POST', body })
    expect(await response.text()).toBe(body.toUpperCase())
  })

  test('answers 404 for what it does not have, and 500 for what it throws', async () => {
    expect((await hono('/nothing')).status).toBe(404)
    expect((await hono('/sums', { method: 'POST', body: '{' })).status).toBe(500)
  })
})

test('what is no function is refused', () => {
  // @ts-expect-error -- as JavaScript would
  expect(() => fromFetch({ fetch: () => new Response() })).toThrow(TypeError)
})
