import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { staticFiles } from '../src/handlers/static-files/static-files.ts'
import { ServedHandler } from './served-handler.ts'
import type { Answer } from './served-handler.ts'
import { TemporaryFolder } from './temporary-folder.ts'

const long = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251))
const modified = new Date('2024-02-29T12:00:00Z')

let folder: TemporaryFolder
let served: ServedHandler
let root: ServedHandler

beforeAll(async () => {
  folder = new TemporaryFolder()
  const written = [
    folder.write('public/index.html', '<p>start</p>'),
    folder.write('public/a.txt', 'hello'),
    folder.write('public/empty.css', ''),
    folder.write('public/long.bin', long),
    folder.write('public/sub/index.html', '<p>sub</p>'),
    folder.write('public/sub/é ü%.txt', 'umlauts'),
    folder.write('public/bare/x.unknown', 'x'),
    folder.write('public/.secret', 'secret'),
    folder.write('public/.git/config', 'secret'),
    folder.write('outside/secret.txt', 'secret'),
    folder.write('public-too/secret.txt', 'secret'),
  ]
  for (const path of written) utimesSync(path, modified, modified)
  const at = join(folder.path, 'public')
  symlinkSync('../outside/secret.txt', join(at, 'out-file'))
  symlinkSync('../outside', join(at, 'out-folder'))
  symlinkSync('../public-too', join(at, 'beside'))
  symlinkSync('a.txt', join(at, 'inside.txt'))
  symlinkSync('loop', join(at, 'loop'))
  execFileSync('mkfifo', [join(at, 'fifo')])
  served = await ServedHandler.start(staticFiles({ folder: at, maxAge: 60 }), '/files')
  root = await ServedHandler.start(staticFiles({ folder: at }))
})

afterAll(async () => {
  await served[Symbol.asyncDispose]()
  await root[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  served.ask(`/files${path}`, headers, method)

describe('a file', () => {
  test('is answered with its type and validators', async () => {
    const { status, headers, body } = await get('/a.txt')
    expect([status, body.toString()]).toEqual([200, 'hello'])
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '5',
      'last-modified': 'Thu, 29 Feb 2024 12:00:00 GMT',
      'cache-control': 'public, max-age=60',
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
    })
    expect(headers.etag).toMatch(/^W\/"5-[0-9a-f]+"$/u)
  })

  test.each([
    ['/empty.css', 'text/css; charset=utf-8', 0],
    ['/bare/x.unknown', 'application/octet-stream', 1],
    ['/sub/%C3%A9%20%C3%BC%25.txt', 'text/plain; charset=utf-8', 7],
    ['/%61.txt', 'text/plain; charset=utf-8', 5],
    ['/inside.txt', 'text/plain; charset=utf-8', 5],
  ])('%s is %s of %i bytes', async (path, type, length) => {
    const { status, headers, body } = await get(path)
    expect([status, headers['content-type'], body.length]).toEqual([200, type, length])
  })

  test('of some size is the same bytes', async () => {
    expect((await get('/long.bin')).body.equals(long)).toBe(true)
  })

  test('has no body for HEAD, but its length', async () => {
    const { status, headers, body } = await get('/long.bin', {}, 'HEAD')
    expect([status, headers['content-length'], body.length]).toEqual([200, '100000', 0])
  })

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('does not answer to %s', async (method) => {
    const { status, headers } = await get('/a.txt', {}, method)
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD'])
  })
})

describe('a folder', () => {
  test('is its index', async () => {
    expect((await get('/')).body.toString()).toBe('<p>start</p>')
    expect((await get('/sub/')).body.toString()).toBe('<p>sub</p>')
    expect((await root.ask('/sub/')).body.toString()).toBe('<p>sub</p>')
  })

  test('without its slash is elsewhere', async () => {
    for (const [path, location] of [
      ['', '/files/'],
      ['/sub', '/files/sub/'],
      ['/sub?a=b?c', '/files/sub/?a=b?c'],
    ] as const) {
      const { status, headers } = await get(path)
      expect([status, headers.location]).toEqual([301, location])
    }
    expect((await root.ask('/sub')).headers.location).toBe('/sub/')
  })

  test('without an index is not listed', async () => {
    expect((await get('/bare/')).status).toBe(404)
  })

  test('can have another index', async () => {
    await using other = await ServedHandler.start(staticFiles({ folder: folder.path, index: 'a.txt' }))
    expect((await other.ask('/public/')).body.toString()).toBe('hello')
  })
})

describe('what must not be served is not there', () => {
  test.each([
    '/absent.txt',
    '/a.txt/',
    '/a.txt/b',
    '/.secret',
    '/.git/config',
    '/%2Esecret',
    '/../outside/secret.txt',
    '/..',
    '/%2e%2e/outside/secret.txt',
    '/..%2Foutside%2Fsecret.txt',
    '/sub%2Findex.html',
    '/sub/../a.txt',
    '/./a.txt',
    '//a.txt',
    '/sub//index.html',
    '/%2F%2Fetc/passwd',
    '/a.txt%00.html',
    '/out-file',
    '/out-folder',
    '/out-folder/',
    '/out-folder/secret.txt',
    '/beside/secret.txt',
    '/loop',
    '/fifo',
    `/${'x'.repeat(300)}`,
  ])('%s', async (path) => {
    const { status, body } = await get(path)
    expect([status, body.toString()]).toEqual([404, '404: there is no such file\n'])
  })

  test.each(['/%', '/%4', '/%zz', '/%ff', '/%C3'])('%s is not well-formed', async (path) => {
    expect((await get(path)).status).toBe(400)
  })

  test('a slash is no host: no path redirects to another one', async () => {
    for (const path of ['//example.org', '//example.org/..', '/%2Fexample.org', '/%5Cexample.org']) {
      const { status, headers } = await root.ask(path)
      expect([status, headers.location]).toEqual([404, undefined])
    }
  })

  test('whatever the path, nothing of outside is answered', async () => {
    const piece = fc.constantFrom(
      '/',
      '..',
      '.',
      '%2e',
      '%2F',
      '%5C',
      'out-folder',
      'secret.txt',
      'sub',
      'beside',
      '%00',
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
        const { body } = await root.ask(`/${pieces.join('')}`)
        expect(body.toString()).not.toContain('secret')
      }),
      { numRuns: 200 },
    )
  })

  test('a link that is exchanged all the time never leads out', async () => {
    const at = join(folder.path, 'public')
    mkdirSync(join(at, 'inner'))
    folder.write('public/inner/secret.txt', 'public')
    const ask = async (): Promise<string> => (await root.ask('/switch/secret.txt')).body.toString()
    for (let turn = 0; turn < 100; turn++) {
      symlinkSync(turn % 2 === 0 ? 'inner' : '../outside', join(at, 'next'))
      const asked = ask()
      renameSync(join(at, 'next'), join(at, 'switch'))
      expect(['public', '404: there is no such file\n']).toContain(await asked)
    }
    rmSync(join(at, 'switch'))
  })

  test.skipIf(process.getuid?.() === 0)('a file that may not be read', async () => {
    chmodSync(folder.write('public/locked.txt', 'locked'), 0)
    expect((await get('/locked.txt')).status).toBe(403)
  })
})

test('names with a dot are served where the options say so', async () => {
  const options = { folder: join(folder.path, 'public'), dotfiles: true }
  await using open = await ServedHandler.start(staticFiles(options))
  expect((await open.ask('/.git/config')).body.toString()).toBe('secret')
  expect((await open.ask('/../outside/secret.txt')).status).toBe(404)
})

describe('what the client has already', () => {
  test('is not sent again', async () => {
    const { headers } = await get('/a.txt')
    const etag = headers.etag!
    for (const condition of [
      { 'if-none-match': etag },
      { 'if-none-match': `"x", ${etag}` },
      { 'if-modified-since': headers['last-modified']! },
    ]) {
      const again = await get('/a.txt', condition)
      expect([again.status, again.body.length]).toEqual([304, 0])
      expect(again.headers).toMatchObject({ etag, 'cache-control': 'public, max-age=60' })
      expect(again.headers['content-type']).toBeUndefined()
    }
  })

  test('is sent again once it has changed', async () => {
    const path = folder.write('public/changing.txt', 'one')
    const { headers } = await get('/changing.txt')
    folder.write('public/changing.txt', 'two')
    utimesSync(path, new Date(), new Date(Date.now() + 5000))
    expect((await get('/changing.txt', { 'if-none-match': headers.etag! })).status).toBe(200)
  })

  test('must be what it wants to go on with', async () => {
    expect((await get('/a.txt', { 'if-match': '"other"' })).status).toBe(412)
    expect((await get('/a.txt', { 'if-match': '*' })).status).toBe(200)
  })
})

describe('a range', () => {
  test.each([
    ['bytes=10-19', 10, 20],
    ['bytes=99990-', 99_990, 100_000],
    ['bytes=-5', 99_995, 100_000],
    ['bytes=0-59999', 0, 60_000],
  ])('%s', async (range, from, to) => {
    const { status, headers, body } = await get('/long.bin', { range })
    expect(status).toBe(206)
    expect(headers).toMatchObject({
      'content-range': `bytes ${from}-${to - 1}/100000`,
      'content-length': String(to - from),
    })
    expect(body.equals(long.subarray(from, to))).toBe(true)
  })

  test('outside of the file is refused with its size', async () => {
    const { status, headers } = await get('/long.bin', { range: 'bytes=100000-' })
    expect([status, headers['content-range']]).toEqual([416, 'bytes */100000'])
  })

  test('that is not one range is ignored', async () => {
    expect((await get('/a.txt', { range: 'bytes=0-1,3-4' })).status).toBe(200)
    expect((await get('/a.txt', { range: 'bytes=0-1' }, 'HEAD')).status).toBe(200)
  })

  test('counts only for the file that the client began with', async () => {
    const begun = { range: 'bytes=0-1', 'if-range': modified.toUTCString() }
    expect((await get('/a.txt', begun)).status).toBe(206)
    expect((await get('/a.txt', { ...begun, 'if-range': new Date(0).toUTCString() })).status).toBe(200)
  })
})

test('no descriptor stays open', async () => {
  const open = (): number => readdirSync('/proc/self/fd').length
  const ask = async (): Promise<void> => {
    await get('/a.txt')
    await get('/long.bin')
    await get('/long.bin', {}, 'HEAD')
    await get('/long.bin', { range: 'bytes=0-50000' })
    await get('/long.bin', { range: 'bytes=100000-' })
    await get('/long.bin', { 'if-none-match': '*' })
    for (const path of ['/sub', '/sub/', '/bare/', '/out-file', '/fifo', '/absent']) await get(path)
  }
  await ask()
  const before = open()
  for (let turn = 0; turn < 20; turn++) await ask()
  expect(open()).toBeLessThanOrEqual(before + 1)
})
