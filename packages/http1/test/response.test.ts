import { closeSync, fstatSync, openSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { fileBody, Http1Error, methodNotAllowed, type ResponseLike } from '../src/index.ts'
import { type Answer, Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const folder = mkdtempSync(join(tmpdir(), 'http1-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

interface Reply {
  answer: Answer | undefined
  closed: boolean
  failures: unknown[]
}

/** What a client gets for `response`, and whether the connection then serves another request. */
async function reply(response: () => ResponseLike, request: string = get): Promise<Reply> {
  await using server = new Server((incoming) => (incoming.path === '/probe' ? { body: 'probe' } : response()))
  using client = await Client.open(server.port)
  await client.send(request)
  const answer = await client.next(request.startsWith('HEAD'))
  if (answer !== undefined && !client.closed) await client.send('GET /probe HTTP/1.1\r\nHost: a\r\n\r\n')
  const probe = await client.next()
  return { answer, closed: probe === undefined, failures: server.failures }
}

async function* pieces(...list: (string | Uint8Array)[]): AsyncGenerator<string | Uint8Array> {
  for (const piece of list) {
    await Promise.resolve()
    yield piece
  }
}

describe('a response', () => {
  it('has a status line, a date and the length of its body', async () => {
    const { answer, closed } = await reply(() => ({
      status: 201,
      headers: { 'content-type': 'text/plain' },
      body: 'hällo',
    }))
    expect(answer?.head).toMatch(
      /^HTTP\/1\.1 201 Created\r\nDate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/,
    )
    expect(Math.abs(Date.parse(answer?.headers.get('date') ?? '') - Date.now())).toBeLessThan(3000)
    expect(answer?.headers.get('content-type')).toBe('text/plain')
    expect(answer?.headers.get('content-length')).toBe('6')
    expect(Buffer.from(answer?.body ?? '', 'latin1').toString()).toBe('hällo')
    expect(answer?.headers.has('connection')).toBe(false)
    expect(closed).toBe(false)
  })

  it.each([
    ['null', null, ''],
    ['nothing', undefined, ''],
    ['an empty string', '', ''],
    ['a short string', 'x', 'x'],
    ['a long string', 'é'.repeat(4000), 'Ã©'.repeat(4000)],
    ['a very long string', 'x'.repeat(300_000), 'x'.repeat(300_000)],
    ['bytes', new Uint8Array([1, 2, 255]), '\x01\x02\xff'],
    ['many bytes', new Uint8Array(10_000).fill(65), 'A'.repeat(10_000)],
    ['more bytes than a socket takes at once', new Uint8Array(20_000_000).fill(66), 'B'.repeat(20_000_000)],
  ])('sends %s', async (_, body, expected) => {
    const { answer, closed } = await reply(() => ({ body }))
    expect(answer?.headers.get('content-length')).toBe(String(expected.length))
    expect(answer?.body === expected).toBe(true)
    expect(closed).toBe(false)
  })

  it('takes headers as a record, with lists and numbers, or as pairs, in their order', async () => {
    const record = { 'Set-Cookie': ['a=1', 'b=2'], 'X-Count': 5, 'X-Last': 'z' }
    const first = await reply(() => ({ headers: record }))
    expect(first.answer?.head).toContain('Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Count: 5\r\nX-Last: z\r\n')
    const second = await reply(() => ({
      headers: [
        ['a', '1'],
        ['b', '2'],
      ],
    }))
    expect(second.answer?.head).toContain('a: 1\r\nb: 2\r\n')
  })

  it('writes any number of headers, of any size up to the bound', async () => {
    const many = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${i}`, `${i}`.repeat(i)]))
    const { answer } = await reply(() => ({ headers: many }))
    for (const [name, value] of Object.entries(many)) expect(answer?.headers.get(name)).toBe(value)
    const { answer: refused } = await reply(() => ({ headers: { x: 'y'.repeat(60_000) } }))
    expect(refused?.status).toBe(500)
  })

  it('is a WHATWG Response as well', async () => {
    const { answer, closed } = await reply(
      () => new Response('from fetch', { status: 404, headers: { a: 'b' } }),
    )
    expect(answer).toMatchObject({ status: 404, body: 'from fetch' })
    expect(answer?.headers.get('a')).toBe('b')
    expect(closed).toBe(false)
  })

  it('to HEAD has the length and no body', async () => {
    const head = 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n'
    for (const body of ['hello', new Uint8Array(5), Buffer.alloc(9000), pieces('hello')]) {
      const { answer, closed } = await reply(() => ({ body }), head)
      expect(answer?.body).toBe('')
      if (!(Symbol.asyncIterator in Object(body))) {
        expect(answer?.headers.get('content-length')).toBe(String((body as string).length))
      }
      expect(closed).toBe(false)
    }
    const { answer } = await reply(() => ({ headers: { 'content-length': '77' } }), head)
    expect(answer?.headers.get('content-length')).toBe('77')
  })

  it.each([204, 304])('with status %d has no body', async (status) => {
    const { answer, closed } = await reply(() => ({ status, body: 'x' }))
    expect(answer?.status).toBe(status)
    expect(answer?.headers.has('content-length')).toBe(false)
    expect(closed).toBe(false)
  })

  it('with status 205 has no body and says so', async () => {
    const { answer, closed } = await reply(() => ({ status: 205, body: 'x' }))
    expect(answer).toMatchObject({ status: 205, body: '' })
    expect(answer?.headers.get('content-length')).toBe('0')
    expect(closed).toBe(false)
  })

  it('with status 405 names the methods that are allowed', async () => {
    const { answer } = await reply(() => methodNotAllowed(['GET', 'HEAD']))
    expect(answer).toMatchObject({ status: 405, body: '405: only GET, HEAD is answered here\n' })
    expect(answer?.headers.get('allow')).toBe('GET, HEAD')
  })

  it('has a date that goes on with the clock', async () => {
    await using server = new Server(() => ({ body: 'x' }))
    using client = await Client.open(server.port)
    const dates = new Set<string>()
    while (dates.size < 2) {
      const before = Math.floor(Date.now() / 1000)
      await client.send(get)
      const date = (await client.next())?.headers.get('date') ?? ''
      const second = Date.parse(date) / 1000
      // The clock of the header ticks with the kernel's: it may be a tick behind.
      expect(second).toBeGreaterThanOrEqual(before - 1)
      expect(second).toBeLessThanOrEqual(Date.now() / 1000)
      dates.add(date)
    }
  })

  it('closes the connection when it says so, and after a client that said so', async () => {
    const own = await reply(() => ({ headers: { Connection: 'close' }, body: 'x' }))
    expect(own.answer?.headers.get('connection')).toBe('close')
    expect(own.closed).toBe(true)
    const old = await reply(() => ({ body: 'x' }), 'GET / HTTP/1.0\r\n\r\n')
    expect(old.answer?.headers.get('connection')).toBe('close')
    const kept = await reply(() => ({ body: 'x' }), 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
    expect(kept.answer?.headers.get('connection')).toBe('keep-alive')
    expect(kept.closed).toBe(false)
  })

  it.each([
    ['a status below 200', { status: 101 }],
    ['a status above 599', { status: 600 }],
    ['CR LF in a value', { headers: { a: 'b\r\nc: d' } }],
    ['NUL in a value', { headers: { a: 'b\0' } }],
    ['a value beyond Latin-1', { headers: { a: '€' } }],
    ['a name that is no token', { headers: { 'a b': 'c' } }],
    ['an empty name', { headers: { '': 'c' } }],
    ['a wrong Content-Length', { headers: { 'content-length': '4' }, body: 'hello' }],
    ['a Content-Length that is no number', { headers: { 'content-length': '0x5' }, body: 'hello' }],
    ['two Content-Length', { headers: { 'content-length': ['5', '5'] }, body: 'hello' }],
    ['a transfer coding', { headers: { 'transfer-encoding': 'gzip' } }],
    ['an upgrade', { headers: { upgrade: 'websocket' } }],
    ['a Connection field that is neither', { headers: { connection: 'upgrade' } }],
    ['a body that is none', { body: 5 as unknown as string }],
  ])('is refused with %s, and the request can be answered again', async (_, response: ResponseLike) => {
    const { answer, failures, closed } = await reply(() => response)
    expect(failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_RESPONSE' })])
    expect(failures[0]).toBeInstanceOf(Http1Error)
    expect(answer?.status).toBe(500)
    expect(closed).toBe(false)
  })

  it('is given once', async () => {
    await using server = new Server((request) => {
      void server.engine.respond(request, { body: 'first' })
      expect(request.answered).toBe(true)
      expect(() => server.engine.respond(request, { body: 'second' })).toThrow(/answered already/)
      return Promise.reject(new Error('never settles well'))
    })
    using client = await Client.open(server.port)
    await client.send(get)
    expect((await client.next())?.body).toBe('first')
  })

  it('never lets header values change the framing (property)', async () => {
    await using server = new Server((request) => ({
      headers: { 'x-value': Buffer.from(request.headers.get('x-hex') ?? '', 'hex').toString('latin1') },
      body: 'framed',
    }))
    using client = await Client.open(server.port)
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 20 }), async (bytes) => {
        await client.send(`GET / HTTP/1.1\r\nHost: a\r\nX-Hex: ${Buffer.from(bytes).toString('hex')}\r\n\r\n`)
        const answer = await client.next()
        const fits = bytes.every((byte) => byte === 9 || (byte >= 0x20 && byte !== 0x7f))
        expect(answer?.status).toBe(fits ? 200 : 500)
        if (fits) expect(answer?.headers.get('x-value')).toBe(Buffer.from(bytes).toString('latin1'))
      }),
      { numRuns: 300 },
    )
  })
})

describe('a streamed response', () => {
  it('is chunked', async () => {
    const { answer, closed } = await reply(() => ({ body: pieces('hello', '', new Uint8Array([33])) }))
    expect(answer?.headers.get('transfer-encoding')).toBe('chunked')
    expect(answer?.body).toBe('hello!')
    expect(closed).toBe(false)
  })

  it('ends with the connection in HTTP/1.0', async () => {
    const { answer, closed } = await reply(
      () => ({ body: pieces('a', 'b') }),
      'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n',
    )
    expect(answer?.headers.has('transfer-encoding')).toBe(false)
    expect(answer).toMatchObject({ body: 'ab' })
    expect(closed).toBe(true)
  })

  it('has the length that its headers state', async () => {
    const { answer, closed } = await reply(() => ({
      headers: { 'content-length': 5 },
      body: pieces('hel', 'lo'),
    }))
    expect(answer?.headers.get('content-length')).toBe('5')
    expect(answer).toMatchObject({ body: 'hello' })
    expect(closed).toBe(false)
  })

  it.each([
    [
      'fewer bytes than stated',
      () => ({ headers: { 'content-length': 5 }, body: pieces('hel') }),
      'ERR_HTTP_RESPONSE',
    ],
    [
      'more bytes than stated',
      () => ({ headers: { 'content-length': 5 }, body: pieces('hello!') }),
      'ERR_HTTP_RESPONSE',
    ],
    [
      'a piece that is neither text nor bytes',
      () => ({ body: pieces(5 as unknown as string) }),
      'ERR_HTTP_RESPONSE',
    ],
  ])('is cut off with %s', async (_, response, code) => {
    const { answer, closed, failures } = await reply(response)
    expect(answer).toBeUndefined()
    expect(closed).toBe(true)
    expect(failures).toEqual([expect.objectContaining({ code })])
  })

  it('is cut off when its source throws, so that the client sees that it is not complete', async () => {
    const failure = new Error('the source broke')
    async function* broken(): AsyncGenerator<string> {
      yield 'begun'
      await Promise.resolve()
      throw failure
    }
    const { answer, closed, failures } = await reply(() => ({ body: broken() }))
    expect(answer).toBeUndefined()
    expect(closed).toBe(true)
    expect(failures).toEqual([failure])
  })

  it('asks its source for no more than the client takes, and returns it when the client goes away', async () => {
    let produced = 0
    let returned: () => void = () => undefined
    const end = new Promise<void>((resolve) => {
      returned = resolve
    })
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          await Promise.resolve()
          produced += 1
          yield new Uint8Array(1 << 20)
        }
      } finally {
        returned()
      }
    }
    await using server = new Server(() => ({ body: endless() }))
    const client = await Client.open(server.port)
    client.socket.pause()
    await client.send(get)
    // Another request passes while the slow client blocks its response only.
    using other = await Client.open(server.port)
    other.socket.on('data', () => {
      other.destroy()
    })
    await other.send(get)
    await other.untilClosed()
    expect(produced).toBeLessThan(100)
    client.socket.resetAndDestroy()
    await end
  })

  it('cancels a ReadableStream whose client goes away', async () => {
    let cancelled: () => void = () => undefined
    const end = new Promise<void>((resolve) => {
      cancelled = resolve
    })
    const stream = () =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => {
          controller.enqueue(new Uint8Array(1 << 20))
        },
        cancel: () => {
          cancelled()
        },
      })
    await using server = new Server(() => ({ body: stream() }))
    const client = await Client.open(server.port)
    client.socket.pause()
    await client.send(get)
    client.socket.resetAndDestroy()
    await end
  })
})

describe('a file body', () => {
  const path = join(folder, 'file')
  const content = Buffer.alloc(9_000_000, 'file content ')
  writeFileSync(path, content)
  const isOpen = (descriptor: number): boolean => {
    try {
      fstatSync(descriptor)
      return true
    } catch {
      return false
    }
  }

  it.each([
    ['whole', 0, content.length],
    ['a part', 1_000_003, 5_000_000],
    ['nothing', 5, 0],
  ])('sends the file: %s', async (_, offset, length) => {
    const descriptor = openSync(path, 'r')
    const { answer, closed } = await reply(() => ({ body: fileBody(descriptor, offset, length) }))
    expect(answer?.headers.get('content-length')).toBe(String(length))
    expect(answer?.body === content.toString('latin1', offset, offset + length)).toBe(true)
    expect(closed).toBe(false)
    expect(isOpen(descriptor)).toBe(false)
  })

  it('is closed for HEAD and after a response that is refused', async () => {
    const first = openSync(path, 'r')
    await reply(() => ({ body: fileBody(first, 0, 10) }), 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(isOpen(first)).toBe(false)
    const second = openSync(path, 'r')
    await reply(() => ({ headers: { a: '\0' }, body: fileBody(second, 0, 10) }))
    expect(isOpen(second)).toBe(false)
  })

  it('is cut off when the file is shorter than it should be', async () => {
    const descriptor = openSync(path, 'r')
    const { answer, closed } = await reply(() => ({ body: fileBody(descriptor, 0, content.length + 10) }))
    expect(answer).toBeUndefined()
    expect(closed).toBe(true)
    expect(isOpen(descriptor)).toBe(false)
  })

  it('takes whole numbers from 0', () => {
    expect(() => fileBody(-1, 0, 0)).toThrow(/descriptor/)
    expect(() => fileBody(1, 0.5, 0)).toThrow(/offset/)
    const descriptor = openSync(path, 'r')
    const body = fileBody(descriptor, 0, 1)
    body[Symbol.dispose]()
    body.close()
    expect(() => {
      closeSync(descriptor)
    }).toThrow(/EBADF/)
  })
})
