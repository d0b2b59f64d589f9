import type { MountInfo } from '@x/mounttable'
import { expect, onTestFinished, test } from 'vitest'
import type { MountSpec } from '../src/handler.ts'
import { welcome } from '../src/handlers/welcome/welcome.ts'
import { ServedHandler } from './served-handler.ts'

const mount: MountInfo<MountSpec> = {
  prefix: '/api',
  host: 'a.org',
  slot: 3,
  generation: 7,
  spec: { module: '/srv/api.js', options: { secret: 'password' } },
  state: 'draining',
  references: 2,
  served: 40,
  since: 1_700_000_000_000,
}

async function start(mountPath = '/'): Promise<ServedHandler> {
  const served = await ServedHandler.start(welcome({}), mountPath, {
    mounts: () => [mount, { ...mount, host: undefined, state: 'active' }],
    counters: () => ({ requests: 9, accepted: 4, closed: 1, responses2xx: 8, 'worker.1.requests': 9 }),
  })
  onTestFinished(() => served[Symbol.asyncDispose]())
  return served
}

test('status.json tells the mounts, without their options, and the counters', async () => {
  const { status, headers, body } = await (await start()).ask('/status.json')
  expect([status, headers['content-type'], headers['cache-control']]).toEqual([
    200,
    'application/json',
    'no-store',
  ])
  const row = {
    prefix: '/api',
    module: '/srv/api.js',
    generation: 7,
    references: 2,
    served: 40,
    since: mount.since,
  }
  expect(JSON.parse(body.toString())).toEqual({
    time: expect.any(Number) as number,
    mounts: [
      { ...row, host: 'a.org', state: 'draining' },
      { ...row, state: 'active' },
    ],
    totals: { requests: 9, accepted: 4, closed: 1, connections: 3, responses2xx: 8 },
    workers: [{ worker: 1, counters: { requests: 9 } }],
  })
})

test('the page asks for status.json under its own mount', async () => {
  const pages = [
    ['/', '/', '/status.json'],
    ['/welcome', '/welcome', '/welcome/status.json'],
    ['/welcome', '/welcome/', '/welcome/status.json'],
    ['/a&"<b', '/a&"<b/', '/a&amp;&quot;&lt;b/status.json'],
  ] as const
  for (const [mountPath, path, address] of pages) {
    const { status, headers, body } = await (await start(mountPath)).ask(path)
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(body.toString()).toContain(`data-status="${address}"`)
  }
})

test('the page needs nothing from elsewhere, and may not', async () => {
  const { headers, body } = await (await start()).ask('/')
  const html = body.toString()
  expect(html).not.toMatch(/https?:|src=|@import|url\(/u)
  expect(headers['content-security-policy']).toMatch(
    /^default-src 'none'; style-src 'sha256-[\w+/=]+'; script-src 'sha256-[\w+/=]+'; connect-src 'self';/u,
  )
})

test('the page works for all', async () => {
  const html = (await (await start()).ask('/')).body.toString()
  expect(html).toMatch(/^<!doctype html>\n<html lang="en"/u)
  expect(html).toContain('name="viewport" content="width=device-width, initial-scale=1"')
  expect(html).toContain('color-scheme: light dark')
  expect(html).toContain('prefers-color-scheme: dark')
  expect(html).toContain('role="status"')
  expect(html).toMatch(/<button id="pause" type="button">Pause<\/button>/u)
  expect(html.match(/<caption>/gu)).toHaveLength(2)
  expect(html).toContain('The server cannot be reached')
})

test('the script of the page is well-formed', async () => {
  const html = (await (await start()).ask('/')).body.toString()
  const script = /<script>([^]*)<\/script>/u.exec(html)![1]!
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- compiled, not run
  expect(() => new Function(`async () => {${script}}`)).not.toThrow()
})

test('nothing else is there', async () => {
  const served = await start()
  for (const path of ['/index.html', '/status', '/status.json/', '//', '/favicon.ico']) {
    expect((await served.ask(path)).status).toBe(404)
  }
})

test('only GET and HEAD are answered', async () => {
  const served = await start()
  for (const path of ['/', '/status.json']) {
    const { status, headers } = await served.ask(path, {}, 'POST')
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD'])
    expect((await served.ask(path, {}, 'HEAD')).status).toBe(200)
  }
})
