import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fromNodeListener } from '../../src/index.ts'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({
    workers: 1,
    limits: { body: 8 * 1024 * 1024 },
    mounts: [
      { prefix: '/', module: handlerFile('listener') },
      { prefix: '/mounted', module: handlerFile('listener') },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(server.url(path), init)
const seen = async (): Promise<Record<string, unknown>> =>
  (await (await ask('/seen')).json()) as Record<string, unknown>

describe('a request', () => {
  test('has what the client has sent', async () => {
    const response = await ask('/request?a=%20b', { method: 'PUT', headers: { 'X-Field': 'One' }, body: '' })
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'application/json'])
    expect(await response.json()).toMatchObject({
      method: 'PUT',
      url: '/request?a=%20b',
      originalUrl: '/request?a=%20b',
      baseUrl: '',
      httpVersion: '1.1',
      headers: { 'x-field': 'One', host: `127.0.0.1:${server.port}` },
      client: { remoteAddress: '127.0.0.1', remoteFamily: 'IPv4', hasPort: true },
    })
  })

  test('has a url without the path of its mount', async () => {
    expect(await (await ask('/mounted/request?q')).json()).toMatchObject({
      url: '/request?q',
      originalUrl: '/mounted/request?q',
      baseUrl: '/mounted',
    })
    expect((await ask('/mounted')).status).toBe(404)
  })

  test('joins fields of one name by the rules of Node', async () => {
    using connection = await Connection.open(server.port)
    connection.send('GET /request HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\nX: 1\r\nX: 2\r\n\r\n')
    const { headers } = JSON.parse((await connection.response())?.body ?? '') as { headers: unknown }
    expect(headers).toEqual({ host: 'a', cookie: 'a=1; b=2', x: '1, 2' })
  })

  test('may have a body of 5 MB, with a length or in chunks', async () => {
    const body = randomBytes(5_000_000)
    const hash = createHash('sha256').update(body).digest('hex')
    expect(await (await ask('/upload', { method: 'POST', body })).text()).toBe(hash)
    const stream = new Blob([body]).stream()
    expect(await (await ask('/upload', { method: 'POST', body: stream, duplex: 'half' })).text()).toBe(hash)
  })

  test('and its response may be streams at the same time', async () => {
    const body = randomBytes(2_000_000)
    const response = await ask('/echo', { method: 'POST', body })
    expect(Buffer.compare(Buffer.from(await response.arrayBuffer()), body)).toBe(0)
  })

  test('with a body over the limit is refused, also when that turns out while it is read', async () => {
    using connection = await Connection.open(server.port)
    const chunk = `10000\r\n${'a'.repeat(0x10000)}\r\n`
    connection.send('POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
    connection.send(`${chunk.repeat(128)}1\r\na\r\n`)
    expect((await connection.response())?.status).toBe(413)
  })

  test('that expects 100 gets it when its body is read', async () => {
    const outgoing = httpRequest(server.url('/upload'), {
      method: 'POST',
      headers: { expect: '100-continue', 'content-length': 5 },
    })
    outgoing.flushHeaders()
    await once(outgoing, 'continue')
    outgoing.end('hallo')
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(incoming.resume().statusCode).toBe(200)
  })

  test('72: has its trailers at its end, joined by the rules of Node', async () => {
    const outgoing = httpRequest(server.url('/trailers'), { method: 'POST', headers: { trailer: 'x' } })
    outgoing.write('body')
    outgoing.addTrailers([
      ['X', '1'],
      ['X', '2'],
      ['Host', 'b'],
      ['X-Sum', 'a b'],
    ])
    outgoing.end()
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    const told = JSON.parse((await incoming.toArray()).join('')) as Record<string, unknown>
    expect(told).toMatchObject({
      early: [false, {}, []],
      complete: true,
      trailers: { x: '1, 2', 'x-sum': 'a b' },
      rawTrailers: ['x', '1', 'x', '2', 'x-sum', 'a b'],
    })
    expect(Object.keys(told.headers as object)).not.toContain('x-sum')
    const without = await ask('/trailers', { method: 'POST', body: 'body' })
    expect(await without.json()).toMatchObject({ complete: true, trailers: {}, rawTrailers: [] })
  })
})

describe('a response', () => {
  test('has the fields that were set', async () => {
    const { status, headers } = await ask('/fields')
    expect(status).toBe(201)
    expect(headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(headers.get('x-number')).toBe('7')
    expect(headers.get('x-overridden')).toBe('new')
    expect(headers.get('content-length')).toBe('0')
    expect(headers.has('keep-alive')).toBe(false)
    const pairs = await ask('/pairs')
    expect([pairs.headers.get('x-a'), await pairs.text()]).toEqual(['1, 2', 'pairs'])
    expect(await (await ask('/encoded')).text()).toBe('hallo')
  })

  test('to HEAD has the fields alone', async () => {
    using connection = await Connection.open(server.port)
    for (const [path, length] of [
      ['/pipeline', String(16 * 64 * 1024)],
      ['/encoded', '5'],
      ['/download', undefined],
    ] as const) {
      connection.send(`HEAD ${path} HTTP/1.1\r\nHost: a\r\n\r\nGET /empty HTTP/1.1\r\nHost: a\r\n\r\n`)
      const text = await connection.until(/^HTTP\/1\.1 204 [^]*\r\n\r\n/mu)
      expect(/^content-length: (\d+)/imu.exec(text)?.[1]).toBe(length)
      expect(text.match(/^HTTP\/1\.1 (\d+)/gmu)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 204'])
    }
  })

  test('waits for its client: write() says so, and drain when to go on', async () => {
    const before = (await seen()) as { drains: number; pressed: number }
    const response = await ask('/download')
    expect(response.headers.get('transfer-encoding')).toBe('chunked')
    expect((await response.arrayBuffer()).byteLength).toBe(256 * 64 * 1024 + 3)
    const after = (await seen()) as { drains: number; pressed: number }
    expect(after.drains).toBeGreaterThan(before.drains)
    expect(after.pressed).toBeGreaterThan(before.pressed)
  })

  test('takes a pipeline, with a length', async () => {
    const { finished } = (await seen()) as { finished: number }
    const response = await ask('/pipeline')
    expect(response.headers.get('content-length')).toBe(String(16 * 64 * 1024))
    expect((await response.arrayBuffer()).byteLength).toBe(16 * 64 * 1024)
    await expect.poll(async () => (await seen()).finished).toBe(finished + 1)
  })

  test('may begin before the request has ended', async () => {
    const outgoing = httpRequest(server.url('/flush'), { method: 'POST' })
    outgoing.flushHeaders()
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
    expect(incoming.headers['x-first']).toBe('head')
    outgoing.end('late')
    incoming.setEncoding('utf8')
    expect((await once(incoming, 'data'))[0]).toBe('body')
  })

  test('keeps the connection, unless the listener says close', async () => {
    using connection = await Connection.open(server.port)
    expect((await connection.get('/pairs'))?.body).toBe('pairs')
    const last = await connection.get('/close')
    expect([last?.body, last?.headers.get('connection')]).toEqual(['bye', 'close'])
    expect(await connection.rest()).toBe('')
  })

  test('does without interim responses', async () => {
    const response = await ask('/informs')
    expect([response.status, await response.text()]).toEqual([200, 'ab'])
  })

  /** The whole response to a request that ends its connection. */
  const whole = async (
    path: string,
    version = '1.1',
    method = 'GET',
  ): Promise<[head: string, body: string]> => {
    using connection = await Connection.open(server.port)
    connection.send(`${method} ${path} HTTP/${version}\r\nHost: a\r\nConnection: close\r\n\r\n`)
    const [head = '', ...body] = (await connection.rest()).split('\r\n\r\n')
    return [head.toLowerCase(), body.join('\r\n\r\n')]
  }

  test.each([
    ['/sum', '4\r\nbody\r\n0\r\nX-Sum: 1 2\r\nX-Last: \xe9\r\n\r\n'],
    ['/sum?pieces', /^(4\r\nbody|2\r\nbo\r\n2\r\ndy)\r\n0\r\nX-Sum: 1 2\r\nX-Last: \xe9\r\n\r\n$/u],
    ['/added', '4\r\nbody\r\n0\r\nx-sum: 1\r\nx-sum: 2\r\nX-N: 5\r\n\r\n'],
    ['/announces', '4\r\nbody\r\n0\r\n\r\n'],
  ])('has the trailers that were added (RFC 9112 7.1.2): %s', async (path, expected) => {
    const [head, body] = await whole(path)
    if (typeof expected === 'string') expect(body).toBe(expected)
    else expect(body).toMatch(expected)
    expect(head).toContain('\r\ntransfer-encoding: chunked')
    expect(head.includes('\r\ntrailer: x-sum\r\n')).toBe(path !== '/added')
  })

  test.each([
    ['a length', '/sum?length', '1.1', 'GET'],
    ['HTTP/1.0', '/sum', '1.0', 'GET'],
    ['HTTP/1.0, in pieces', '/sum?pieces', '1.0', 'GET'],
    ['HEAD', '/sum', '1.1', 'HEAD'],
  ])('has no trailers, and announces none, with %s', async (_, path, version, method) => {
    const [head, body] = await whole(path, version, method)
    expect(body).toBe(method === 'HEAD' ? '' : 'body')
    expect(head).not.toContain('\r\ntrailer:')
  })

  test('refuses what must not be a trailer, and says so at once', async () => {
    const response = await ask('/wrong-trailers')
    expect(await response.json()).toEqual([
      'TypeError',
      'ERR_INVALID_HTTP_TOKEN',
      'ERR_INVALID_CHAR',
      'TypeError',
    ])
    expect(response.headers.has('content-length')).toBe(true)
  })

  test('has the states of ServerResponse', async () => {
    await (await ask('/state')).text()
    await expect
      .poll(async () => (await seen()).states)
      .toEqual([
        [false, false, false, false],
        [true, false, false, false],
        [true, true, false, false],
        [true, true, true, false],
        [true, true, true, true],
      ])
  })

  test('that is written to after its end says what Node says', async () => {
    expect(await (await ask('/twice')).text()).toBe('once')
    await expect
      .poll(async () => (await seen()).errors)
      .toEqual(['ERR_HTTP_HEADERS_SENT', 'ERR_HTTP_HEADERS_SENT', 'ERR_STREAM_WRITE_AFTER_END'])
  })
})

describe('what goes wrong', () => {
  test.each(['/throws', '/rejects', '/destroys'])(
    'before a response, as in %s, is answered with 500',
    async (path) => {
      expect((await ask(path)).status).toBe(500)
    },
  )

  test('in the middle of a response breaks it off', async () => {
    const response = await ask('/throws-late')
    expect(response.status).toBe(200)
    await expect(response.text()).rejects.toThrow()
    await server.logged(({ err }) => (err as Error | undefined)?.message === 'late')
  })

  test('after a response is logged', async () => {
    expect(await (await ask('/throws-after')).text()).toBe('whole')
    await server.logged(({ msg }) => msg === 'the listener failed after its response')
  })

  test('when the client has gone, both are told', async () => {
    const before = (await seen()) as { closed: number; aborted: number }
    const connection = await Connection.open(server.port)
    connection.pause()
    connection.send('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n')
    await expect.poll(() => server.references()).toContain(1)
    connection[Symbol.dispose]()
    await expect
      .poll(async () => seen())
      .toMatchObject({ closed: before.closed + 1, aborted: before.aborted + 1 })
    // What was written and not sent is told of as well.
    expect((await seen()).untaken).toBeGreaterThan(0)
    await expect.poll(() => server.references()).toEqual([0, 0])
  })

  test('by time is told by timeout', async () => {
    expect((await ask('/timeout')).status).toBe(503)
  })
})

test('what is no function is refused', () => {
  // @ts-expect-error -- as JavaScript would
  expect(() => fromNodeListener({})).toThrow(TypeError)
})
