import { describe, expect, it } from 'vitest'
import { request } from 'undici'
import type { ResponseLike, ResponseTrailers } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const probe = 'GET /probe HTTP/1.1\r\nHost: a\r\n\r\n'

async function* pieces(...list: string[]): AsyncGenerator<string> {
  for (const piece of list) {
    await Promise.resolve()
    yield piece
  }
}

interface Reply {
  /** All bytes of the response behind its head. */
  body: string
  head: string
  /** Whether the connection serves another request. */
  lives: boolean
  failures: unknown[]
}

/** What a client gets for `response`, byte for byte. */
async function reply(response: () => ResponseLike, request: string = get): Promise<Reply> {
  await using server = new Server(({ path }) => (path === '/probe' ? { body: 'probe' } : response()))
  using client = await Client.open(server.port)
  await client.send(request + probe)
  await client.untilAnswered('probe')
  const [all = '', after] = client.rest.split(
    /HTTP\/1\.1 200 OK\r\nDate: [^\r]*\r\nContent-Length: 5\r\n\r\nprobe/,
  )
  const end = all.indexOf('\r\n\r\n') + 4
  return {
    head: all.slice(0, end),
    body: all.slice(end),
    lives: after !== undefined,
    failures: server.failures,
  }
}

describe('the trailers of a response', () => {
  it.each<[string, () => ResponseTrailers]>([
    ['an object', () => ({ 'X-Sum': 'a b', 'x-n': 5, 'x-list': ['1', '2'] })],
    [
      'pairs',
      () => [
        ['X-Sum', 'a b'],
        ['x-n', '5'],
        ['x-list', '1'],
        ['x-list', '2'],
      ],
    ],
    ['a promise of them', () => Promise.resolve({ 'X-Sum': 'a b', 'x-n': 5, 'x-list': ['1', '2'] })],
    ['a function', () => () => ({ 'X-Sum': 'a b', 'x-n': 5, 'x-list': ['1', '2'] })],
    [
      'a function to a promise',
      () => () => Promise.resolve({ 'X-Sum': 'a b', 'x-n': 5, 'x-list': ['1', '2'] }),
    ],
  ])('follow the last chunk (RFC 9112 7.1.2): %s', async (_, trailers) => {
    const { body, head, lives } = await reply(() => ({
      headers: { trailer: 'X-Sum, x-n, x-list' },
      body: pieces('hello'),
      trailers: trailers(),
    }))
    expect(head).toContain('\r\ntrailer: X-Sum, x-n, x-list\r\n')
    expect(head).not.toContain('a b')
    expect(body).toBe('5\r\nhello\r\n0\r\nX-Sum: a b\r\nx-n: 5\r\nx-list: 1\r\nx-list: 2\r\n\r\n')
    expect(lives).toBe(true)
  })

  it('are asked for when the body has ended', async () => {
    const seen: string[] = []
    async function* body(): AsyncGenerator<string> {
      yield* pieces('a', 'b')
      seen.push('end of the body')
    }
    const trailers = (): { x: string } => {
      seen.push('trailers')
      return { x: 'é' }
    }
    expect((await reply(() => ({ body: body(), trailers }))).body).toMatch(/\r\n0\r\nx: \xe9\r\n\r\n$/)
    expect(seen).toEqual(['end of the body', 'trailers'])
  })

  it.each<[string, ResponseTrailers]>([
    ['an empty list', []],
    ['a function that has none', () => undefined],
    ['a promise of none', Promise.resolve(undefined)],
  ])('are none with %s', async (_, trailers) => {
    const { body, lives } = await reply(() => ({ body: pieces('a'), trailers }))
    expect([body, lives]).toEqual(['1\r\na\r\n0\r\n\r\n', true])
  })

  it.each<[string, ResponseLike, string]>([
    ['a text', { body: 'hello' }, get],
    ['a stated length', { headers: { 'content-length': 5 }, body: pieces('hello') }, get],
    ['HTTP/1.0', { body: pieces('hello') }, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n'],
  ])('are let go with a body that is not chunked: %s', async (_, response, request) => {
    let asked = false
    const trailers = (): { x: string } => {
      asked = true
      return { x: 'y' }
    }
    expect((await reply(() => ({ ...response, trailers }), request)).body).toBe('hello')
    expect(asked).toBe(false)
    // Nobody waits for it, and it takes nothing down.
    const failed = (): ResponseTrailers => Promise.reject(new Error('nobody waits'))
    expect((await reply(() => ({ ...response, body: 'hello', trailers: failed() }), request)).body).toBe(
      'hello',
    )
  })

  it.each([
    ['a HEAD', { body: pieces('x') }, 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a 204', { status: 204, body: pieces('x') }, get],
  ])('are let go with %s', async (_, response: ResponseLike, request) => {
    const { body, lives } = await reply(() => ({ ...response, trailers: { x: 'y' } }), request)
    expect([body, lives]).toEqual(['', true])
  })

  const wrong: [string, unknown][] = [
    ['CR LF in a value', { x: 'y\r\nz: 1' }],
    ['a NUL in a value', { x: 'y\0' }],
    ['a value beyond Latin-1', { x: '€' }],
    ['a name that is no token', { 'x y': 'z' }],
    ['CR LF in a name', [['x\r\ny', 'z']]],
    ['a length', { 'Content-Length': '5' }],
    ['a transfer coding', { 'transfer-encoding': 'chunked' }],
    ['a host', { Host: 'b' }],
    ['a cookie', { 'Set-Cookie': 'a=b' }],
    ['authentication', { 'WWW-Authenticate': 'Basic' }],
    ['a content type', { 'content-type': 'text/html' }],
    ['a value that is none', { x: null }],
    ['more than a head may have', { x: 'y'.repeat(60_000) }],
    ['what are no fields', 5],
  ]

  it.each(wrong)('are refused before anything is sent, with %s (RFC 9110 6.5.1)', async (_, trailers) => {
    await using server = new Server(() => ({ body: pieces('a'), trailers: trailers as ResponseTrailers }))
    using client = await Client.open(server.port)
    await client.send(get)
    expect((await client.next())?.status).toBe(500)
    expect(server.failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_RESPONSE' })])
  })

  it.each(wrong)('that are known late break the response off with %s', async (_, trailers) => {
    const { body, lives, failures } = await reply(() => ({
      body: pieces('a'),
      trailers: () => trailers as Record<string, string>,
    }))
    expect('1\r\na\r\n'.startsWith(body)).toBe(true)
    expect(lives).toBe(false)
    expect(failures).toEqual([expect.objectContaining({ code: 'ERR_HTTP_RESPONSE' })])
  })

  it('whose function throws, or whose promise rejects, break the response off with that error', async () => {
    const failure = new Error('no sum')
    const thrown = (): never => {
      throw failure
    }
    for (const trailers of [() => thrown, () => Promise.reject(failure)]) {
      const { lives, failures } = await reply(() => ({ body: pieces('a'), trailers: trailers() }))
      expect([lives, failures]).toEqual([false, [failure]])
    }
  })

  it('that are a promise harm nobody when the body breaks off before', async () => {
    const failure = new Error('the source broke')
    async function* broken(): AsyncGenerator<string> {
      yield* pieces('begun')
      throw failure
    }
    const trailers = (): ResponseTrailers => Promise.reject(new Error('nobody waits'))
    const { lives, failures } = await reply(() => ({ body: broken(), trailers: trailers() }))
    expect([lives, failures]).toEqual([false, [failure]])
  })

  it('are read by undici, behind a body that does not fit the socket', async () => {
    const body = (): ResponseLike['body'] => pieces(...Array.from({ length: 200 }, () => 'x'.repeat(100_000)))
    await using server = new Server(() => ({ body: body(), trailers: () => ({ 'x-sum': '1 2' }) }))
    const answer = await request(`http://127.0.0.1:${server.port}/`)
    let size = 0
    for await (const piece of answer.body) size += (piece as Uint8Array).length
    expect([size, answer.trailers]).toEqual([20_000_000, { 'x-sum': '1 2' }])
  })
})
