import { describe, expect, it } from 'vitest'
import type { HttpRequest, ResponseLike } from '../src/index.ts'
import { Client } from './fixtures/client.ts'
import { Server } from './fixtures/server.ts'

/** What `look` sees of a request with these bytes, in the turn it came in and again after later turns. */
async function seen<T>(bytes: string, look: (request: HttpRequest) => T): Promise<{ now: T; later: T }> {
  const results: T[] = []
  let release: () => void = () => undefined
  const handle = async (request: HttpRequest): Promise<ResponseLike> => {
    if (request.path === '/release') {
      release()
      return { body: '' }
    }
    results.push(look(request))
    await new Promise<void>((resolve) => {
      release = resolve
    })
    results.push(look(request))
    return { body: '' }
  }
  await using server = new Server(handle)
  using client = await Client.open(server.port)
  using other = await Client.open(server.port)
  await client.send(bytes)
  // Another connection uses the arena meanwhile.
  for (let i = 0; i < 3; i += 1) {
    await other.send(`GET /release?${'x'.repeat(2000)} HTTP/1.1\r\nHost: other\r\n\r\n`)
    await other.next()
  }
  await client.next()
  return { now: results[0] as T, later: results[1] as T }
}

describe('HttpRequest', () => {
  it('shows the parts of the head, also after the memory it came in is used again', async () => {
    const bytes =
      'POST /a%20b?c=d&e HTTP/1.1\r\nHost: example.org:80\r\nX-One: 1\r\nContent-Length: 0\r\n\r\n'
    const { now, later } = await seen(bytes, (request) => ({
      method: request.method,
      target: request.target,
      path: request.path,
      query: request.query,
      version: request.version,
      host: request.host,
      keepAlive: request.keepAlive,
      headers: [...request.headers],
      address: request.remoteAddress,
      id: request.id.split('.')[0] === String(request.descriptor),
    }))
    expect(now).toEqual({
      method: 'POST',
      target: '/a%20b?c=d&e',
      path: '/a%20b',
      query: 'c=d&e',
      version: '1.1',
      host: 'example.org:80',
      keepAlive: true,
      headers: [
        ['host', 'example.org:80'],
        ['x-one', '1'],
        ['content-length', '0'],
      ],
      address: '127.0.0.1',
      id: true,
    })
    expect(later).toEqual(now)
  })

  it('looks header fields up without regard to case, and joins those that repeat', async () => {
    const fields =
      'Host: a\r\nAccept: text/html\r\nACCEPT: */*\r\nCookie: a=1\r\ncookie: b=2\r\nX^y: t\r\nEmpty:\r\n'
    const { later } = await seen(`GET / HTTP/1.1\r\n${fields}\r\n`, ({ headers }) => ({
      accept: headers.get('Accept'),
      all: headers.getAll('aCCept'),
      cookie: headers.get('cookie'),
      tilde: headers.has('x~y'),
      caret: headers.has('X^Y'),
      empty: headers.get('empty'),
      none: headers.get('none'),
    }))
    expect(later).toEqual({
      accept: 'text/html, */*',
      all: ['text/html', '*/*'],
      cookie: 'a=1; b=2',
      tilde: false,
      caret: true,
      empty: '',
      none: undefined,
    })
  })

  it('has the path / and the authority of the target in absolute-form', async () => {
    const { now } = await seen('GET http://target:81?q HTTP/1.1\r\nHost: other\r\n\r\n', (request) => [
      request.path,
      request.query,
      request.host,
    ])
    expect(now).toEqual(['/', 'q', 'target:81'])
  })

  it('says so when it is read after its response is complete', async () => {
    const kept: HttpRequest[] = []
    await using server = new Server((request) => {
      kept.push(request)
      return { body: 'x' }
    })
    using client = await Client.open(server.port)
    for (let i = 0; i < 2; i += 1) {
      await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
      await client.next()
    }
    expect(() => kept[0]?.target).toThrow(expect.objectContaining({ code: 'ERR_HTTP_REQUEST_OVER' }) as Error)
  })

  it('has no remote address once its connection is closed, whoever has the descriptor then', async () => {
    const kept: HttpRequest[] = []
    await using server = new Server((request) => {
      kept.push(request)
      return { body: 'x' }
    })
    const client = await Client.open(server.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.next()
    expect(kept[0]?.remoteAddress).toBe('127.0.0.1')
    client.destroy()
    while (server.open.size > 0) await new Promise(setImmediate)
    using other = await Client.open(server.port)
    await other.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await other.next()
    expect([kept[0]?.remoteAddress, kept[0]?.remotePort]).toEqual([undefined, undefined])
  })

  it('aborts its signal when the client goes away in the middle of the response', async () => {
    let aborted: (reason: unknown) => void = () => undefined
    const gone = new Promise((resolve) => {
      aborted = resolve
    })
    await using server = new Server((request) => {
      request.signal.addEventListener('abort', () => {
        aborted(request.signal.reason)
      })
      return { body: new Uint8Array(64 * 1024 * 1024) }
    })
    const client = await Client.open(server.port)
    await client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    client.socket.resetAndDestroy()
    await expect(gone).resolves.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' })
  })
})
