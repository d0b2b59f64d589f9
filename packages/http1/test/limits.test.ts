import { describe, expect, it } from 'vitest'
import { type Limits, type Timeouts } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const ok = (): { body: string } => ({ body: 'ok' })

describe('requestsPerConnection', () => {
  it('closes the connection with the response to the last one, and answers none behind it', async () => {
    const server = new Server(ok, { limits: { requestsPerConnection: 2 } })
    const client = await Client.open(server.listener.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3))
    expect((await client.next())?.headers.get('connection')).toBeUndefined()
    expect((await client.next())?.headers.get('connection')).toBe('close')
    await client.untilClosed()
    expect(client.rest).toBe('')
    await server.close()
  })
})

describe('limits', () => {
  it.each<[string, Partial<Limits>, string, string, number]>([
    [
      'head',
      { head: 200 },
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(100)}\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(180)}\r\n\r\n`,
      431,
    ],
    [
      'requestTarget',
      { requestTarget: 10 },
      `GET /${'a'.repeat(9)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET /${'a'.repeat(10)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      414,
    ],
    [
      'headers',
      { headers: 2 },
      `GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nZ: y\r\n\r\n`,
      431,
    ],
    [
      'body',
      { body: 3 },
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc`,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd`,
      413,
    ],
    [
      'chunkExtensions',
      { chunkExtensions: 4 },
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;aa\r\nx\r\n0\r\n\r\n`,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;aaaaa\r\nx\r\n0\r\n\r\n`,
      413,
    ],
  ])('%s: takes what is within and refuses what is above', async (_, limits, within, above, status) => {
    await using server = new Server(ok, { limits })
    using client = await Client.open(server.port)
    await client.send(within)
    expect((await client.next())?.status).toBe(200)
    await client.send(above)
    expect((await client.next())?.status).toBe(status)
    await client.untilClosed()
  })

  it.each([
    [{ limits: { heads: 1 } as Partial<Limits> }, /no limit heads/],
    [{ limits: { head: 0 } }, /head is a whole number/],
    [{ limits: { headers: 5000 } }, /from 1 to 1000/],
    [{ limits: { bodyRate: -1 } }, /bodyRate is a whole number from 0 /],
    [{ timeouts: { idel: 1 } as Partial<Timeouts> }, /no timeout idel; there are head, idle, body, write/],
    [{ timeouts: { idle: 0.5 } }, /idle is a whole number/],
  ])('that are unknown or out of range are refused: %j', (settings, message) => {
    expect(() => new Server(ok, settings)).toThrow(message)
  })
})
