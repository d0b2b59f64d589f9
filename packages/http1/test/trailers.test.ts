import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type HttpRequest, type ResponseLike } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const post = (chunks: string, path = '/'): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

/** Answers with the trailers before the body is read and after it, and with the headers. */
async function tell(request: HttpRequest): Promise<ResponseLike> {
  const headers = [...request.headers]
  const before = [...request.trailers]
  const body = await request.text()
  return { body: JSON.stringify({ before, body, after: [...request.trailers], headers }) }
}

interface Told {
  before: [string, string][]
  body: string
  after: [string, string][]
  headers: [string, string][]
}

async function told(client: Client): Promise<Told> {
  const answer = await client.next()
  expect(answer?.status).toBe(200)
  return JSON.parse(Buffer.from(answer?.body ?? '', 'latin1').toString()) as Told
}

describe('the trailers of a request', () => {
  const message = post('5\r\nhello\r\n0\r\nX-Sum: \t1 2 \t\r\nx-empty:\r\nX-Sum: \xe9\r\n\r\n')
  const trailers = [
    ['x-sum', '1 2'],
    ['x-empty', ''],
    ['x-sum', 'é'],
  ]

  it.each([
    ['in one piece', [message]],
    ['byte by byte', message.split('')],
    [
      'apart from the body',
      [message.slice(0, message.indexOf('X-Sum')), message.slice(message.indexOf('X-Sum'))],
    ],
  ])('72: are there when the body has been read to its end, and not before: %s', async (_, pieces) => {
    await using server = new Server(tell)
    using client = await Client.open(server.port)
    for (const piece of pieces) await client.send(piece)
    expect(await told(client)).toEqual({
      before: [],
      body: 'hello',
      after: trailers,
      headers: [
        ['host', 'a'],
        ['transfer-encoding', 'chunked'],
      ],
    })
  })

  it('are asked for by name, as headers are', async () => {
    await using server = new Server(async (request) => {
      await request.bytes()
      const { trailers } = request
      return {
        body: JSON.stringify([
          trailers.get('X-SUM'),
          trailers.getAll('x-sum'),
          trailers.has('X-Empty'),
          trailers.get('x'),
        ]),
      }
    })
    using client = await Client.open(server.port)
    await client.send(message)
    const answer = Buffer.from((await client.next())?.body ?? '', 'latin1').toString()
    expect(JSON.parse(answer)).toEqual(['1 2, é', ['1 2', 'é'], true, null])
  })

  it('are none without any, without a body, and with a length', async () => {
    await using server = new Server(tell)
    using client = await Client.open(server.port)
    const plain = [
      'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
      post('5\r\nhello\r\n0\r\n\r\n'),
      get,
    ]
    for (const bytes of plain) {
      await client.send(bytes)
      expect(await told(client)).toMatchObject({ before: [], after: [] })
    }
  })

  it('72: are those of their own request in a pipeline', async () => {
    await using server = new Server(tell)
    using client = await Client.open(server.port)
    const one = (name: string): string => post(`1\r\n${name}\r\n0\r\nX-${name}: ${name}\r\n\r\n`)
    await client.send(one('a') + post('0\r\n\r\n') + one('b') + get + one('c'))
    const seen: unknown[] = []
    for (let i = 0; i < 5; i += 1) seen.push((await told(client)).after)
    expect(seen).toEqual([[['x-a', 'a']], [], [['x-b', 'b']], [], [['x-c', 'c']]])
  })

  it('that nobody reads are thrown away with their body, and not taken for those of the next request', async () => {
    await using server = new Server((request) =>
      request.path === '/unread' ? { body: 'no' } : tell(request),
    )
    using client = await Client.open(server.port)
    await client.send(post('1\r\na\r\n0\r\nX: y\r\n\r\n', '/unread') + post('0\r\n\r\n'))
    expect((await client.next())?.body).toBe('no')
    expect((await told(client)).after).toEqual([])
    // The response comes before the rest of them.
    await client.send(post('1\r\na\r\n0\r\nX: y\r\nZ', '/unread'))
    expect((await client.next())?.body).toBe('no')
    await client.send(`: z\r\n\r\n${get}`)
    expect((await told(client)).after).toEqual([])
  })

  it('stay when the request is over, and are never those of the next one', async () => {
    const kept: HttpRequest[] = []
    let pieces: AsyncIterator<Uint8Array> | undefined
    await using server = new Server(async (request) => {
      kept.push(request)
      if (request.path === '/half') {
        pieces = request.body[Symbol.asyncIterator]()
        await pieces.next()
      } else {
        await request.bytes()
        await pieces?.next()
      }
      return { body: 'ok' }
    })
    using client = await Client.open(server.port)
    await client.send(post('1\r\na\r\n0\r\nX: 1\r\n\r\n'))
    await client.next()
    await client.send(post('1\r\na\r\n0\r\nX: 2\r\n\r\n', '/half'))
    await client.next()
    const late = kept[1]
    expect(late?.trailers.get('x')).toBeUndefined()
    await client.send(post('1\r\na\r\n0\r\nX: 3\r\n\r\n'))
    await client.next()
    expect(kept.map(({ trailers }) => trailers.get('x'))).toEqual(['1', '2', '3'])
  })

  it.each([
    'Transfer-Encoding: gzip',
    'Content-Length: 1',
    'Host: b',
    'Authorization: Basic Og==',
    'Cookie: a=b',
    'Set-Cookie: a=b',
    'Content-Type: text/html',
    'content-encoding: gzip',
    'Content-Range: bytes 0-1/2',
    'TE: trailers',
    'Trailer: x',
    'Connection: close',
    'If-Match: "a"',
    'Cache-Control: no-store',
    'Expect: cake',
    'RANGE: bytes=0-1',
  ])(
    '72: are without the field %s, which would change what has been read (RFC 9110 6.5.1)',
    async (field) => {
      await using server = new Server(tell)
      using client = await Client.open(server.port)
      await client.send(post(`5\r\nhello\r\n0\r\nX: y\r\n${field}\r\nZ: z\r\n\r\n${get}`))
      expect((await told(client)).after).toEqual([
        ['x', 'y'],
        ['z', 'z'],
      ])
      expect((await told(client)).headers).toEqual([['host', 'a']])
    },
  )

  it('86: are bounded in number and bytes by the limits of headers', async () => {
    await using server = new Server(tell, { limits: { headers: 3, head: 100 } })
    const field = 'X: y\r\n'
    for (const [lines, status] of [
      [field.repeat(3), 200],
      [field.repeat(4), 431],
      [`X: ${'y'.repeat(95)}\r\n`, 200],
      [`X: ${'y'.repeat(96)}\r\n`, 431],
    ] as const) {
      using whole = await Client.open(server.port)
      await whole.send(post(`0\r\n${lines}\r\n`))
      expect([lines, (await whole.next())?.status]).toEqual([lines, status])
      using pieces = await Client.open(server.port)
      for (const byte of post(`0\r\n${lines}\r\n`)) await pieces.send(byte)
      expect([lines, (await pieces.next())?.status]).toEqual([lines, status])
      if (status === 431) await pieces.untilClosed()
    }
  })

  it('arrive whole in any pieces (property)', async () => {
    await using server = new Server(tell)
    const name = fc.stringMatching(/^x-[a-z]{1,9}$/)
    const value = fc.stringMatching(/^([!-~]([ -~]{0,40}[!-~])?)?$/)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(name, value), { maxLength: 8 }),
        fc.array(fc.nat(600), { maxLength: 4 }),
        async (fields, cuts) => {
          using client = await Client.open(server.port)
          const lines = fields.map(([key, text]) => `${key}: ${text}\r\n`).join('')
          const whole = post(`5\r\nhello\r\n0\r\n${lines}\r\n`)
          const edges = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length]
          for (const [i, edge] of edges.slice(1).entries()) await client.send(whole.slice(edges[i], edge))
          expect((await told(client)).after).toEqual(fields)
        },
      ),
      { numRuns: 100 },
    )
  })
})
