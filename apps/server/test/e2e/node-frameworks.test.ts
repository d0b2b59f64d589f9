import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile, run } from './server-process.ts'

const example = (name: string): string => fileURLToPath(new URL(`../../examples/${name}.js`, import.meta.url))

let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({
    workers: 1,
    mounts: [
      { prefix: '/express', module: handlerFile('express') },
      { prefix: '/fastify', module: handlerFile('fastify') },
      { prefix: '/examples/express', module: example('express') },
      { prefix: '/examples/fastify', module: example('fastify') },
    ],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(server.url(path), init)
const post = (path: string, body: unknown): Promise<Response> =>
  ask(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

describe.each(['express', 'fastify'])('%s', (name) => {
  test('answers GET with JSON', async () => {
    const response = await ask(`/${name}/json/anna?b=c`)
    expect(response.headers.get('content-type')).toMatch(/^application\/json/u)
    expect(await response.json()).toMatchObject({ name: 'anna', b: 'c' })
  })

  test('takes JSON, and refuses what is none', async () => {
    const response = await post(`/${name}/json`, { a: 1 })
    expect([response.status, await response.json()]).toEqual([201, { a: 1 }])
    const headers = { 'content-type': 'application/json' }
    expect((await ask(`/${name}/json`, { method: 'POST', headers, body: '{' })).status).toBe(400)
  })

  test('takes an upload of 5 MB, and no more than it wants', async () => {
    const headers = { 'content-type': 'application/octet-stream' }
    const upload = (bytes: number): Promise<Response> =>
      ask(`/${name}/upload`, { method: 'POST', headers, body: randomBytes(bytes) })
    expect(await (await upload(5 * 1024 * 1024)).text()).toBe(String(5 * 1024 * 1024))
    // Express reads what it refuses to its end, and Fastify refuses before there is anything to read.
    if (name === 'express') {
      expect((await upload(7 * 1024 * 1024)).status).toBe(413)
      return
    }
    using connection = await Connection.open(server.port)
    const type = 'Content-Type: application/octet-stream'
    connection.send(`POST /${name}/upload HTTP/1.1\r\nHost: a\r\n${type}\r\nContent-Length: 7340032\r\n\r\n`)
    expect((await connection.response())?.status).toBe(413)
  })

  test('streams a file', async () => {
    const text = await (await ask(`/${name}/stream`)).text()
    expect(text).toBe(readFileSync(handlerFile(name), 'utf8'))
  })

  test('answers 404 for what it does not have, and 500 for what it throws', async () => {
    expect((await ask(`/${name}/nothing`)).status).toBe(404)
    const thrown = await ask(`/${name}/throws`)
    expect([thrown.status, await thrown.text()]).toEqual([500, expect.stringContaining('thrown')])
  })

  test('answers HEAD to curl', async () => {
    const { stdout } = await run('curl', ['-sI', '--max-time', '10', server.url(`/${name}/json/anna`)])
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/u)
    expect(stdout).toMatch(/^content-length: \d+\r$/imu)
  })

  test('as in the example', async () => {
    expect(await (await ask(`/examples/${name}/greetings/anna`)).json()).toMatchObject({
      greeting: 'Hello, anna',
    })
    expect(await (await post(`/examples/${name}/sums`, [1, 2, 3])).json()).toEqual({ sum: 6 })
    const { status } = await post(`/examples/${name}/sums`, { not: 'a list' })
    expect(status).toBe(name === 'express' ? 422 : 400)
  })
})

describe('express', () => {
  test('knows its mount', async () => {
    const response = await ask('/express/json/anna')
    expect(response.headers.get('x-path')).toBe('/express|/json/anna|/express/json/anna')
  })

  test('serves files, with validators and ranges', async () => {
    const response = await ask('/express/files/express.js')
    const etag = response.headers.get('etag') ?? ''
    expect(await response.text()).toBe(readFileSync(handlerFile('express'), 'utf8'))
    // fetch() would ask for a fresh one.
    const { stdout } = await run('curl', ['-si', '-H', `if-none-match: ${etag}`, server.url('/express/file')])
    expect(stdout).toMatch(/^HTTP\/1\.1 304 /u)
    const range = await ask('/express/file', { headers: { range: 'bytes=0-4' } })
    expect([range.status, await range.text()]).toEqual([206, '// An'])
  })

  test('redirects, and hears of a rejected handler', async () => {
    const redirect = await ask('/express/redirect', { redirect: 'manual' })
    expect([redirect.status, redirect.headers.get('location')]).toEqual([302, '/elsewhere'])
    expect(await (await ask('/express/rejects')).json()).toEqual({ error: 'rejected' })
  })
})

test('fastify hears when a response is complete', async () => {
  const before = Number(await (await ask('/fastify/responses')).text())
  await (await ask('/fastify/json/anna')).text()
  await expect
    .poll(async () => Number(await (await ask('/fastify/responses')).text()))
    .toBeGreaterThan(before + 1)
})
