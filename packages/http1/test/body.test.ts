import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { connections, type HttpRequest, type ResponseLike } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const post = (fields: string, path = '/'): string => `POST ${path} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`
const probe = 'GET /probe HTTP/1.1\r\nHost: a\r\n\r\n'

/** Resolves when the server has something in hand: what is sent from then on arrives apart from what was. */
async function untilHandling(): Promise<void> {
  while (connections().handling === 0) await new Promise(setImmediate)
}

async function echo(request: HttpRequest): Promise<ResponseLike> {
  return { body: request.path === '/probe' ? 'probe' : await request.bytes() }
}

/** Sends pieces with pauses between them, until all are out or the connection ends. Returns the bytes sent. */
function drip(
  client: Client,
  { bytes, times, pause }: { bytes: number; times: number; pause: number },
): Promise<number> {
  return new Promise((resolve) => {
    let sent = 0
    const timer = setInterval(() => {
      if (sent === bytes * times || client.socket.writableEnded || client.closed) {
        clearInterval(timer)
        resolve(sent)
        return
      }
      sent += bytes
      void client.send('x'.repeat(bytes))
    }, pause)
  })
}

describe('a request body', () => {
  it('is read as bytes, text, JSON, an array buffer or pieces', async () => {
    const seen: unknown[] = []
    await using server = new Server(async (request) => {
      if (request.path === '/text') seen.push(await request.text())
      if (request.path === '/json') seen.push(await request.json())
      if (request.path === '/buffer') seen.push((await request.arrayBuffer()).byteLength)
      if (request.path === '/pieces') for await (const piece of request.body) seen.push(piece.length)
      return { body: '' }
    })
    using client = await Client.open(server.port)
    for (const path of ['/text', '/json', '/buffer', '/pieces']) {
      await client.send(`${post('Content-Length: 10\r\n', path)}{"a":"\xc3\xa9"}`)
      await client.next()
    }
    expect(seen).toEqual(['{"a":"é"}', { a: 'é' }, 10, 10])
  })

  it('is empty without a length', async () => {
    await using server = new Server(async (request) => ({ body: `[${await request.text()}]` }))
    using client = await Client.open(server.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect((await client.next())?.body).toBe('[]')
  })

  it('is consumed once', async () => {
    await using server = new Server(async (request) => {
      expect(request.body.used).toBe(false)
      await request.text()
      expect(request.body.used).toBe(true)
      return { body: await request.text() }
    })
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 1\r\n')}x`)
    await client.next()
    expect(server.failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_BODY_USED' })])
  })

  it('arrives whole in any pieces, with its length or chunked, and leaves the next request alone (property)', async () => {
    await using server = new Server(echo)
    const sizes = fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.boolean(),
        fc.array(fc.nat(120_000), { maxLength: 4 }),
        async (parts, chunked, cuts) => {
          using client = await Client.open(server.port)
          const bodies = parts.map((size, i) => String.fromCharCode(97 + i).repeat(size))
          const body = bodies.join('')
          const framed = chunked
            ? `${bodies.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`).join('')}0\r\nX: y\r\n\r\n`
            : body
          const head = post(chunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${body.length}\r\n`)
          const whole = head + framed + probe
          const edges = [0, ...cuts.filter((cut) => cut < whole.length).sort((a, b) => a - b), whole.length]
          for (const [i, edge] of edges.slice(1).entries()) await client.send(whole.slice(edges[i], edge))
          expect((await client.next())?.body === body).toBe(true)
          expect((await client.next())?.body).toBe('probe')
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is asked for with 100 Continue when the handler wants it, and not before (case 111)', async () => {
    await using server = new Server(echo)
    using client = await Client.open(server.port)
    await client.send(post('Expect: 100-continue\r\nContent-Length: 5\r\n'))
    expect((await client.next())?.status).toBe(100)
    await client.send('hello')
    expect((await client.next())?.body).toBe('hello')
    await client.send(probe)
    expect((await client.next())?.body).toBe('probe')
  })

  it('is not asked for when the response comes first: the connection ends', async () => {
    await using server = new Server(() => ({ status: 403, body: 'no' }))
    using client = await Client.open(server.port)
    await client.send(post('Expect: 100-continue\r\nContent-Length: 5\r\n'))
    const answer = await client.next()
    expect(answer).toMatchObject({ status: 403, body: 'no' })
    expect(answer?.headers.get('connection')).toBe('close')
    await client.untilClosed()
    expect(client.error).toBeUndefined()
  })

  it('is not announced when its first bytes are there already', async () => {
    await using server = new Server(echo)
    using client = await Client.open(server.port)
    await client.send(`${post('Expect: 100-continue\r\nContent-Length: 5\r\n')}hello`)
    expect((await client.next())?.status).toBe(200)
  })

  it('that nobody reads is thrown away, and the connection goes on', async () => {
    await using server = new Server((request) => ({ body: request.path }))
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 30000\r\n')}begun`)
    expect((await client.next())?.body).toBe('/')
    await client.send('x'.repeat(29_995) + probe)
    expect((await client.next())?.body).toBe('/probe')
  })

  it('that nobody reads and that is long ends the connection without a reset', async () => {
    await using server = new Server(() => ({ body: 'no' }))
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 1000000\r\n')}begun`)
    const answer = await client.next()
    expect(answer?.headers.get('connection')).toBe('close')
    await client.untilClosed()
    expect(client.error).toBeUndefined()
  })

  it('above the limit is 413: before a handler by its length, in a handler by its chunks', async () => {
    let handled = 0
    await using server = new Server(
      async (request) => {
        handled += 1
        return echo(request)
      },
      { limits: { body: 1000 } },
    )
    using first = await Client.open(server.port)
    await first.send(post('Content-Length: 1001\r\n'))
    expect((await first.next())?.status).toBe(413)
    expect(handled).toBe(0)
    using second = await Client.open(server.port)
    await second.send(`${post('Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n`)
    await untilHandling()
    await second.send(`3e8\r\n`)
    expect((await second.next())?.status).toBe(413)
    await second.untilClosed()
    expect(server.failures.at(-1)).toMatchObject({ code: 'ERR_HTTP_BODY_TOO_LARGE', status: 413 })
  })

  it('above the limit of the reader is 413, and the connection lives', async () => {
    await using server = new Server(async (request) => ({ body: await request.bytes(3) }))
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 5\r\n')}hello`)
    expect((await client.next())?.status).toBe(413)
    await client.send(`${post('Content-Length: 3\r\n')}hel`)
    expect((await client.next())?.body).toBe('hel')
  })

  it('that is malformed behind its first bytes is 400, then the connection ends', async () => {
    await using server = new Server(echo)
    using client = await Client.open(server.port)
    await client.send(`${post('Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n`)
    await untilHandling()
    await client.send('nonsense')
    expect((await client.next())?.status).toBe(400)
    await client.untilClosed()
    expect(server.failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_BODY_MALFORMED' })])
  })

  it('that is not JSON is 400', async () => {
    await using server = new Server(async (request) => ({ body: JSON.stringify(await request.json()) }))
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 1\r\n')}{`)
    expect((await client.next())?.status).toBe(400)
  })

  it('that stops coming is 408 after the body timeout', async () => {
    await using server = new Server(echo, { timeouts: { body: 50 } })
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 10\r\n')}hello`)
    expect((await client.next())?.status).toBe(408)
    await client.untilClosed()
    expect(server.failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_BODY_TIMEOUT' })])
  })

  it('that comes slower than its rate is 408, though bytes keep coming', async () => {
    await using server = new Server(echo, { limits: { bodyRate: 1000 }, timeouts: { body: 200 } })
    using client = await Client.open(server.port)
    await client.send(post('Content-Length: 10000\r\n'))
    const sent = drip(client, { bytes: 1, times: 10_000, pause: 10 })
    const answer = await client.next()
    expect(answer).toMatchObject({ status: 408 })
    expect(answer?.body).toMatch(/200 ms behind 1000 bytes a second/)
    client.socket.end()
    expect(await sent).toBeLessThan(10_000)
    expect(server.failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_BODY_TIMEOUT' })])
  })

  it('does not keep its time by chunk sizes, extensions and trailers: they are no body', async () => {
    await using server = new Server(echo, { limits: { bodyRate: 0 }, timeouts: { body: 200 } })
    using client = await Client.open(server.port)
    await client.send(`${post('Transfer-Encoding: chunked\r\n')}5\r\nhello\r\n1;`)
    await untilHandling()
    const sent = drip(client, { bytes: 1, times: 2000, pause: 10 })
    expect((await client.next())?.status).toBe(408)
    client.socket.end()
    expect(await sent).toBeLessThan(2000)
  })

  it.each([
    [
      'faster than its rate takes longer than the timeout',
      { bodyRate: 100 },
      { bytes: 20, times: 60, pause: 20 },
    ],
    ['slowly takes any time where no rate is asked for', { bodyRate: 0 }, { bytes: 1, times: 60, pause: 20 }],
  ])('that comes %s', async (_, limits, pieces) => {
    await using server = new Server(echo, { limits, timeouts: { body: 1000 } })
    using client = await Client.open(server.port)
    const size = pieces.bytes * pieces.times
    await client.send(post(`Content-Length: ${size}\r\n`))
    expect(await drip(client, pieces)).toBe(size)
    expect((await client.next())?.body).toBe('x'.repeat(size))
  })

  it('waits for its reader as long as that likes: only the client is held to a rate', async () => {
    let proceed: () => void = () => undefined
    const later = new Promise<void>((resolve) => {
      proceed = resolve
    })
    await using server = new Server(
      async (request) => {
        let size = 0
        for await (const piece of request.body) {
          if (size === 0) await later
          size += piece.length
        }
        return { body: String(size) }
      },
      { limits: { bodyRate: 1_000_000 }, timeouts: { body: 100 } },
    )
    using client = await Client.open(server.port)
    const begun = performance.now()
    await client.send(`${post('Content-Length: 200000\r\n')}${'x'.repeat(200_000)}`)
    // Other requests pass the time that the reader takes.
    using other = await Client.open(server.port)
    while (performance.now() - begun < 300) {
      await other.send(probe)
      await other.next()
    }
    proceed()
    expect((await client.next())?.body).toBe('200000')
  })

  it('that ends with the connection is an error, and aborts the signal', async () => {
    let reason: unknown
    let done: () => void = () => undefined
    const over = new Promise<void>((resolve) => {
      done = resolve
    })
    await using server = new Server(async (request) => {
      try {
        return await echo(request)
      } catch (error) {
        reason = request.signal.reason
        done()
        throw error
      }
    })
    const client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 10\r\n')}hello`)
    client.socket.end()
    await over
    expect(reason).toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' })
    await client.untilClosed()
  })

  it('is over with its response: who reads on gets an error, and nothing of the next request', async () => {
    let early: AsyncIterator<Uint8Array> | undefined
    let late: unknown
    await using server = new Server(async (request) => {
      if (early !== undefined) {
        late = await early.next().catch((error: unknown) => error)
        return echo(request)
      }
      early = request.body[Symbol.asyncIterator]()
      await early.next()
      return { body: 'early' }
    })
    using client = await Client.open(server.port)
    await client.send(`${post('Content-Length: 10\r\n')}begun`)
    expect((await client.next())?.body).toBe('early')
    await client.send(`ended${post('Content-Length: 10\r\n')}hello`)
    await untilHandling()
    await client.send('world')
    expect((await client.next())?.body).toBe('helloworld')
    expect(late).toMatchObject({ code: 'ERR_HTTP_REQUEST_OVER' })
  })

  it('is echoed piece by piece while it arrives', async () => {
    await using server = new Server((request) => ({ body: request.body }))
    using client = await Client.open(server.port)
    const body = 'x'.repeat(3_000_000)
    const answer = client.next()
    await client.send(`${post(`Content-Length: ${body.length}\r\n`)}${body}`)
    expect((await answer)?.body === body).toBe(true)
    await client.send(post('Content-Length: 2\r\n') + 'ok')
    expect((await client.next())?.body).toBe('ok')
  })
})
