import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { readToken } from '../src/handlers/admin/token-file.ts'
import { TokenGuard } from '../src/handlers/admin/token-guard.ts'
import { admin } from '../src/handlers/admin/admin.ts'
import { noServer } from '../src/handlers/server-access.ts'
import { Connection } from './e2e/connection.ts'
import { ServerProcess, handlerFile } from './e2e/server-process.ts'
import { temporaryFolder } from './temporary-folder.ts'

const token = 'correct-horse-battery-staple'
const basic = (password: string, user = 'operator'): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

const write = (content: string, mode = 0o600): string => {
  const path = join(temporaryFolder().path, 'token')
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

describe('the file of the token', () => {
  test('has one line, which is the token', () => {
    expect(readToken(write(`${token}\n`))).toBe(token)
    expect(readToken(write(`${token}\r\n`, 0o400))).toBe(token)
    expect(readToken(write(token))).toBe(token)
  })

  test('is refused when others have access to it, with what to do', () => {
    for (const mode of [0o640, 0o620, 0o604, 0o601, 0o644]) {
      const path = write(token, mode)
      const shown = mode.toString(8)
      expect(() => readToken(path)).toThrow(
        `tokenFile: others have access to ${path} (mode ${shown}): chmod 600 ${path}`,
      )
    }
  })

  test.skipIf(process.getuid?.() !== 0)('is refused when it is of another user', () => {
    const path = write(token)
    chownSync(path, 4711, 4711)
    expect(() => readToken(path)).toThrow('belongs to user 4711, and the server runs as 0: chown 0')
  })

  test('is refused when it is missing, no regular file, short, long, or no single line of text', () => {
    const folder = temporaryFolder().path
    expect(() => readToken(join(folder, 'none'))).toThrow(/cannot be read .*ENOENT.*; make one: \(umask 077/u)
    expect(() => readToken(folder)).toThrow('is not a regular file')
    const fifo = join(folder, 'fifo')
    execFileSync('mkfifo', ['-m', '600', fifo])
    expect(() => readToken(fifo)).toThrow('is not a regular file')
    expect(() => readToken(write('123456789012345\n'))).toThrow('has 15 characters and needs 16')
    expect(() => readToken(write(''))).toThrow('has 0 characters and needs 16')
    expect(() => readToken(write('x'.repeat(5000)))).toThrow('has more than 4096 bytes')
    for (const content of [`${token}\n${token}\n`, `${token} x`, `${token}\u00e4`, `${token}\n\n`])
      expect(() => readToken(write(content))).toThrow('is not one line of printable ASCII')
  })

  test('must be named, by its absolute path, and nothing else may', () => {
    expect(() => admin({}, noServer)).toThrow('tokenFile: is missing; add it')
    expect(() => admin({ tokenFile: 'token' }, noServer)).toThrow('tokenFile: "token" is relative')
    expect(() => admin({ tokenFile: write(token), token: 1 }, noServer)).toThrow('token: is not a known key')
    expect(admin({ tokenFile: write(token) }, noServer)).toHaveProperty('handle')
  })
})

test('the token is the password of HTTP Basic authentication, of any user', () => {
  const guard = new TokenGuard(`${token}:x`)
  for (const admitted of [
    basic(`${token}:x`),
    basic(`${token}:x`, ''),
    `basic  ${basic(`${token}:x`).slice(6)}`,
  ])
    expect(guard.admits(admitted)).toBe(true)
  const refused = [
    '',
    token,
    `Bearer ${token}:x`,
    'Basic',
    'Basic !',
    basic(token),
    basic(''),
    basic(`${token}:xx`),
  ]
  for (const field of [undefined, ...refused, `Basic ${Buffer.from(`${token}:x`).toString('base64')}`])
    expect(guard.admits(field)).toBe(false)
})

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

describe('a server with the page', () => {
  let server: ServerProcess

  beforeAll(async () => {
    server = await ServerProcess.start({})
    const tokenFile = join(server.folder, 'token')
    writeFileSync(tokenFile, token, { mode: 0o600 })
    server.configure({ mounts: [{ prefix: '/admin', module: 'builtin:admin', options: { tokenFile } }] })
    expect((await server.command('reload')).code).toBe(0)
  }, 30_000)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  const ask = async (
    path: string,
    headers: Record<string, string> = {},
    method = 'GET',
    body = '',
  ): Promise<Answer> => {
    const given = {
      authorization: basic(token),
      'content-length': String(Buffer.byteLength(body)),
      ...headers,
    }
    const request = httpRequest(server.url(path), { method, headers: given, agent: false })
    request.end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
  }

  const act = async (
    action: string,
    body: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; answer: unknown }> => {
    const given = { 'content-type': 'application/json', ...headers }
    const { status, body: answered } = await ask(`/admin/${action}`, given, 'POST', JSON.stringify(body))
    return { status, answer: JSON.parse(answered) }
  }

  const message = (pattern: string | RegExp): unknown => ({
    error: { code: expect.any(String) as string, message: expect.stringMatching(pattern) as string },
  })

  test('answers nothing without the token, not even whether it is there', async () => {
    for (const [path, method] of [
      ['', 'GET'],
      ['/', 'HEAD'],
      ['/admin.js', 'GET'],
      ['/events', 'GET'],
      ['/status', 'GET'],
      ['/nothing', 'GET'],
      ['/restart', 'POST'],
    ] as const) {
      for (const authorization of ['', basic('wrong')]) {
        const { status, headers } = await ask(`/admin${path}`, { authorization }, method)
        expect([status, headers['www-authenticate'], headers['cache-control']]).toEqual([
          401,
          'Basic realm="x-server", charset="UTF-8"',
          'no-store',
        ])
      }
    }
    await server.logged(({ msg, level }) => msg === 'a wrong token was refused' && level === 40)
  })

  test('sends the page and its files, which nothing may frame, keep or change', async () => {
    const first = await ask('/admin')
    expect(first.status).toBe(200)
    expect(first.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-store',
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
    const policy = String(first.headers['content-security-policy'])
    const [, nonce] = /script-src 'nonce-([\w+/=]{24})'/u.exec(policy) ?? []
    expect(policy).toMatch(/^default-src 'none'; .*frame-ancestors 'none'/u)
    expect(policy).not.toContain('unsafe')
    expect(first.body).toContain(`src="/admin/admin.js" nonce="${nonce}"`)
    expect(first.body).not.toMatch(/https?:|<script>|style=| on\w+=/u)
    expect((await ask('/admin/')).body).not.toContain(nonce)
    for (const [file, type] of [
      ['admin.js', 'text/javascript; charset=utf-8'],
      ['admin.css', 'text/css; charset=utf-8'],
    ] as const) {
      const { status, headers, body } = await ask(`/admin/${file}`)
      expect([status, headers['content-type'], headers['cache-control']]).toEqual([200, type, 'no-store'])
      expect(body).not.toMatch(/https?:\/\/|innerHTML|eval\(/u)
    }
  })

  test('tells the state of the server, without the options of mounts', async () => {
    const { body } = await ask('/admin/status')
    expect(JSON.parse(body)).toMatchObject({
      time: expect.any(Number) as number,
      status: { pid: server.pid, restarts: [], workers: [{ worker: 1 }, { worker: 2 }] },
      mounts: [{ prefix: '/admin', module: 'builtin:admin', state: 'active' }],
    })
    expect(body).not.toContain('token')
  })

  test('takes each path by its method alone', async () => {
    for (const [path, method, allow] of [
      ['', 'POST', 'GET, HEAD'],
      ['/status', 'DELETE', 'GET, HEAD'],
      ['/mount', 'GET', 'POST'],
      ['/restart', 'HEAD', 'POST'],
      ['/reload', 'OPTIONS', 'POST'],
    ] as const) {
      const { status, headers } = await ask(`/admin${path}`, {}, method)
      expect([path, status, headers.allow]).toEqual([path, 405, allow])
    }
    for (const path of ['/index.html', '/restart/', '/admin.ts'])
      expect((await ask(`/admin${path}`)).status).toBe(404)
  })

  test('changes nothing for a page of another origin, or for a form', async () => {
    const body = { confirm: true, prefix: '/csrf', spec: { module: 'builtin:welcome' } }
    const host = `127.0.0.1:${server.port}`
    for (const headers of [
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { origin: `http://127.0.0.1:${server.port + 1}` },
      { origin: `http://${host}.evil.example` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site', origin: `http://${host}` },
      { 'sec-fetch-site': 'none' },
    ] as Record<string, string>[]) {
      expect(await act('mount', body, headers)).toEqual({ status: 403, answer: message('another origin') })
    }
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])
      expect((await act('mount', body, { 'content-type': type })).status).toBe(415)
    expect((await server.command('mounts')).stdout).not.toContain('/csrf')
    for (const headers of [{}, { origin: `http://${host}` }, { 'sec-fetch-site': 'same-origin' }] as Record<
      string,
      string
    >[]) {
      expect((await act('mount', body, headers)).status).toBe(200)
      expect((await act('unmount', { confirm: true, prefix: '/csrf' }, headers)).status).toBe(200)
    }
  })

  test('changes nothing that is not confirmed', async () => {
    for (const action of ['mount', 'replace', 'unmount', 'reload', 'restart']) {
      for (const confirm of [undefined, false, 'true', 1])
        expect(await act(action, { confirm })).toEqual({ status: 428, answer: message('"confirm": true') })
      expect(await act(action, [true])).toEqual({ status: 400, answer: message('no JSON object') })
      const type = { 'content-type': 'application/json' }
      expect((await ask(`/admin/${action}`, type, 'POST', '{ confirm')).status).toBe(400)
      expect((await ask(`/admin/${action}`, type, 'POST', `"${'x'.repeat(70_000)}"`)).status).toBe(413)
    }
  })

  test('mounts, replaces and unmounts', async () => {
    const spec = { module: handlerFile('hello') }
    expect(await act('mount', { confirm: true, prefix: '/a', host: 'A.example', spec })).toMatchObject({
      status: 200,
      answer: { mount: { prefix: '/a', host: 'a.example', state: 'active' } },
    })
    const place = { confirm: true, prefix: '/a', host: 'a.example' }
    const replaced = await act('replace', { ...place, spec: { module: handlerFile('echo') } })
    expect(replaced).toMatchObject({ status: 200, answer: { mount: { module: handlerFile('echo') } } })
    expect((await ask('/a', { host: 'a.example' })).body).toContain('pid=')
    expect(await act('unmount', place)).toEqual({ status: 200, answer: {} })
    expect((await ask('/a', { host: 'a.example' })).status).toBe(404)
  })

  test('refuses what cannot be done in the words of the server', async () => {
    const spec = { module: handlerFile('hello') }
    const cases = [
      ['mount', { prefix: 'a', spec }, 400, /^prefix: "a" is not a path prefix/u],
      ['mount', { prefix: '/a', spec: { module: 'a.js' } }, 400, /spec\.module: "a\.js" is relative/u],
      ['mount', { prefix: '/a', spec, weather: 1 }, 400, /weather: is not a known key/u],
      ['mount', { prefix: '/a', spec: { module: '/none.js' } }, 422, /there is no such file/u],
      ['mount', { prefix: '/admin', spec }, 409, /is mounted/u],
      ['replace', { prefix: '/none', spec }, 404, /none/u],
      ['unmount', { prefix: '/none' }, 404, /none/u],
      ['reload', { prefix: '/none' }, 400, /prefix: is not a known key/u],
      ['restart', { wait: true }, 400, /wait: is not a known key/u],
      [
        'unmount',
        { prefix: '/admin' },
        409,
        /would wait for itself; use the command x-server unmount \/admin/u,
      ],
      ['replace', { prefix: '/admin', spec }, 409, /would wait for itself/u],
    ] as const
    for (const [action, body, status, pattern] of cases)
      expect([action, await act(action, { ...body, confirm: true })]).toEqual([
        action,
        { status, answer: message(pattern) },
      ])
  })

  test('reloads, and the stream of the generation before ends', async () => {
    const stream = await watch()
    const { status, answer } = await act('reload', { confirm: true })
    expect([status, answer]).toEqual([200, { mounted: [], replaced: ['/admin'], unmounted: [] }])
    expect(await stream.until(/(?:^|\n)0\r\n\r\n$/u)).not.toContain('event: trouble')
    await expect.poll(() => server.references()).toEqual([0])
  })

  test('tells of a failed restart', async () => {
    const stream = await watch()
    server.configureText('{')
    expect(await act('restart', { confirm: true })).toEqual({
      status: 422,
      answer: message(/the old process serves on$/u),
    })
    expect(await stream.until(/"failed":"the new process has ended[^\n]*\n/u)).toContain(
      `"pid":${server.pid}`,
    )
  })

  test('restarts: streams end with a whole response, and their connections follow to the new process', async () => {
    server.configure({
      mounts: [
        { prefix: '/admin', module: 'builtin:admin', options: { tokenFile: join(server.folder, 'token') } },
        { prefix: '/events', module: handlerFile('events') },
        { prefix: '/echo', module: handlerFile('echo') },
      ],
    })
    await server.command('reload')
    const [page, quiet] = [await watch(), await watch('/events/quiet')]
    const old = server.serving
    const { status, answer } = await act('restart', { confirm: true })
    expect([status, answer]).toEqual([
      200,
      {
        pid: expect.any(Number) as number,
        version: '0.0.0',
        connections: expect.any(Number) as number,
        stall: expect.any(Number) as number,
      },
    ])
    for (const stream of [page, quiet]) {
      expect(await stream.until(/(?:^|\n)0\r\n\r\n$/u)).toMatch(/(?:^|\n)0\r\n\r\n$/u)
      expect((await stream.get('/echo'))?.body).toContain(`pid=${server.serving} `)
    }
    expect(server.serving).not.toBe(old)
    expect(await server.exited()).toBe(0)
  }, 30_000)

  test('a stop ends streams too, and waits for none', async () => {
    const stream = await watch('/events/quiet')
    process.kill(server.serving, 'SIGTERM')
    expect(await stream.until(/(?:^|\n)0\r\n\r\n$/u)).toMatch(/(?:^|\n)0\r\n\r\n$/u)
    await expect.poll(async () => (await server.command('status')).code).toBe(3)
  })

  /** A stream from which something has come. */
  const watch = async (path = '/admin/events'): Promise<Connection> => {
    const connection = await Connection.open(server.port)
    onTestFinished(() => {
      connection[Symbol.dispose]()
    })
    connection.send(`GET ${path} HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic(token)}\r\n\r\n`)
    await connection.until(/\n\n/u)
    return connection
  }
})
