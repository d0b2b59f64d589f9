import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, readFileSync, statSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { isMainThread } from 'node:worker_threads'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ControlClient } from '../src/control/control-client.ts'
import { ControlServer } from '../src/control/control-server.ts'
import { ControlError } from '../src/errors.ts'
import { TableControl } from './table-control.ts'
import { temporaryFolder } from './temporary-folder.ts'

const welcome = { module: 'builtin:welcome' }

/** As the kernel tells it: process.umask() sets the mask to read it. */
function currentUmask(): string | undefined {
  return /^Umask:\t(\d+)$/mu.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
}

interface Started {
  path: string
  control: TableControl
  server: ControlServer
  client: ControlClient
}

async function start(path = join(temporaryFolder().path, 'control.sock')): Promise<Started> {
  const control = new TableControl()
  const server = await ControlServer.listen(path, control)
  onTestFinished(async () => {
    await server.close()
    control[Symbol.dispose]()
  })
  return { path, control, server, client: new ControlClient(path) }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ControlError)
  return (error as ControlError).code
}

async function send(
  path: string,
  method: string,
  target: string,
  body = '',
  type = 'application/json',
): Promise<{ status: number | undefined; allow: string | undefined; answer: unknown }> {
  const headers = { 'content-type': type, 'content-length': Buffer.byteLength(body) }
  const request = httpRequest({ socketPath: path, method, path: target, headers, agent: false })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const answer: unknown = JSON.parse(await text(response))
  return { status: response.statusCode, allow: response.headers.allow, answer }
}

/** Binds `path` in a process that is then killed, so that its socket stays behind. */
async function leaveStaleSocket(path: string): Promise<void> {
  const program = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('bound'))`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(lstatSync(path).isSocket()).toBe(true)
}

// umask(2) belongs to the process, and Node lets only the main thread set it: the server listens there.
describe.runIf(isMainThread)('the control socket', () => {
  test('is for its owner alone, and leaves the mask of the process as it was', async () => {
    const mask = currentUmask()
    expect(mask).toMatch(/^\d{4}$/u)
    const { path } = await start()
    expect(statSync(path).mode & 0o7777).toBe(0o600)
    expect(currentUmask()).toBe(mask)
  })

  test('is gone once the server is closed', async () => {
    const { path, server } = await start()
    await server.close()
    await server.close()
    expect(existsSync(path)).toBe(false)
  })

  test('of a server that is dead is replaced', async () => {
    const path = join(temporaryFolder().path, 'control.sock')
    await leaveStaleSocket(path)
    const { client } = await start(path)
    expect((await client.status()).pid).toBe(process.pid)
  })

  test('of a live server is refused, and says who holds it', async () => {
    const { path, client } = await start()
    const error: unknown = await ControlServer.listen(path, new TableControl()).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ code: 'ERR_CONTROL_IN_USE' })
    expect(String(error)).toContain(
      `held by the server with process id ${process.pid} at 127.0.0.1 port 8080`,
    )
    expect((await client.status()).pid).toBe(process.pid)
  })

  test('of another program that lives is refused', async () => {
    const path = join(temporaryFolder().path, 'other.sock')
    const other = createServer((_, response) => response.end('hello'))
    onTestFinished(() => {
      other.close()
    })
    await once(other.listen(path), 'listening')
    await expect(ControlServer.listen(path, new TableControl())).rejects.toThrow(
      'is held by a process that does not answer as this server; stop it first',
    )
    expect(existsSync(path)).toBe(true)
  })

  test('never takes the place of a file', async () => {
    const path = temporaryFolder().write('precious', 'content')
    expect(await codeOf(ControlServer.listen(path, new TableControl()))).toBe('ERR_CONTROL_PATH')
    expect(statSync(path).size).toBe(7)
  })

  test('in a folder that does not exist is refused', async () => {
    const path = join(temporaryFolder().path, 'absent', 'control.sock')
    await expect(ControlServer.listen(path, new TableControl())).rejects.toMatchObject({
      code: 'ERR_CONTROL_PATH',
      message: expect.stringContaining('its folder does not exist') as unknown,
    })
  })

  test('of two servers that start at a stale one, one wins', async () => {
    const path = join(temporaryFolder().path, 'control.sock')
    await leaveStaleSocket(path)
    const starts = await Promise.allSettled([start(path), start(path), start(path)])
    expect(starts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect((await new ControlClient(path).status()).pid).toBe(process.pid)
  })
})

describe.runIf(isMainThread)('commands', () => {
  test('mount, list, replace and unmount', async () => {
    const { client } = await start()
    expect(await client.mounts()).toEqual([])
    const first = await client.mount({ prefix: '/a', host: 'A.org', spec: welcome })
    expect(first).toMatchObject({ prefix: '/a', host: 'a.org', module: 'builtin:welcome', state: 'active' })
    const second = await client.replace({
      prefix: '/a',
      host: 'a.org',
      spec: { module: 'builtin:static', options: { folder: '/tmp' } },
    })
    expect(second).toMatchObject({ module: 'builtin:static', state: 'active', references: 0 })
    expect(second.generation).toBeGreaterThan(first.generation)
    expect(await client.mounts()).toMatchObject([{ prefix: '/a', host: 'a.org', module: 'builtin:static' }])
    await client.unmount({ prefix: '/a', host: 'a.org' })
    expect(await client.mounts()).toEqual([])
  })

  test('status tells the process and its counters', async () => {
    const { client, control } = await start()
    expect(await client.status()).toMatchObject({ pid: process.pid, counters: control.status().counters })
  })

  test('unmount waits for the request in progress', async () => {
    const { client, control } = await start()
    await client.mount({ prefix: '/a', spec: welcome })
    const lease = control.hold('/a/x')
    let gone = false
    const unmounted = client.unmount({ prefix: '/a' }).then(() => {
      gone = true
    })
    while ((await client.mounts())[0]?.state !== 'draining');
    expect(gone).toBe(false)
    expect(await client.mounts()).toMatchObject([{ state: 'draining', references: 1 }])
    lease.release()
    await unmounted
    expect(await client.mounts()).toEqual([])
  })

  test('a drain that outlasts its deadline names its holders', async () => {
    const { client, control } = await start()
    await client.mount({ prefix: '/a', spec: welcome })
    using lease = control.hold('/a')
    const unmounted: unknown = await client
      .unmount({ prefix: '/a', deadline: 20 })
      .catch((error: unknown) => error)
    expect(unmounted).toMatchObject({ code: 'ERR_MOUNT_DRAIN_DEADLINE' })
    expect(String(unmounted)).toContain('member 0 holds 1')
    expect(lease.prefix).toBe('/a')
  })

  test('what the server refuses keeps its code', async () => {
    const { client } = await start()
    await client.mount({ prefix: '/a', spec: welcome })
    expect(await codeOf(client.mount({ prefix: '/a', spec: welcome }))).toBe('ERR_MOUNT_TAKEN')
    expect(await codeOf(client.unmount({ prefix: '/b' }))).toBe('ERR_MOUNT_NOT_FOUND')
    expect(await codeOf(client.mount({ prefix: '/b', spec: { module: '/nowhere.js' } }))).toBe(
      'ERR_MOUNT_PREPARE',
    )
    expect(await client.mounts()).toHaveLength(1)
  })

  test('nobody at the socket is an error of its own', async () => {
    const folder = temporaryFolder()
    expect(await codeOf(new ControlClient(join(folder.path, 'absent')).mounts())).toBe('ERR_NO_SERVER')
    const stale = join(folder.path, 'stale')
    await leaveStaleSocket(stale)
    expect(await codeOf(new ControlClient(stale).mounts())).toBe('ERR_NO_SERVER')
  })

  test('a stranger at the socket is an error, and one that says nothing is left at the deadline', async () => {
    const path = join(temporaryFolder().path, 'stranger.sock')
    let talks = true
    const stranger = createServer((_, response) => {
      if (talks) response.end('{"hello":"world"}')
    })
    await once(stranger.listen(path), 'listening')
    onTestFinished(() => {
      stranger.closeAllConnections()
      stranger.close()
    })
    const client = new ControlClient(path)
    expect(await codeOf(client.mounts())).toBe('ERR_CONTROL_PROTOCOL')
    talks = false
    expect(await codeOf(client.mounts(AbortSignal.timeout(50)))).toBe('ETIMEDOUT')
  })
})

describe.runIf(isMainThread)('the protocol', () => {
  const mount = JSON.stringify({ prefix: '/a', spec: welcome })

  test.each([
    ['GET', '/absent', '', 404, 'there is no /absent; use /mounts'],
    ['GET', '/__proto__', '', 404, 'there is no'],
    ['POST', '/mount', '{"prefix":', 400, 'not JSON'],
    ['POST', '/mount', '[]', 400, 'is not an object'],
    ['POST', '/mount', '{"prefix":"a"}', 400, 'prefix: "a" is not a path prefix'],
    ['POST', '/mount', '{"prefix":"/a","spec":{"module":"a.js"}}', 400, 'spec.module: "a.js" is relative'],
    ['POST', '/mount', '{"prefix":"/a","spec":{"module":"/a.js"},"x":1}', 400, 'x: is not a known key'],
    ['POST', '/unmount', '{"prefix":"/a","deadline":-1}', 400, 'deadline: -1 is not a deadline'],
    ['POST', '/unmount', '{"prefix":"/a"}', 404, 'nothing is mounted'],
  ])('%s %s %s is refused with %i', async (method, target, body, status, message) => {
    const { path } = await start()
    const refused = await send(path, method, target, body)
    expect(refused).toMatchObject({
      status,
      answer: { error: { message: expect.stringContaining(message) as unknown } },
    })
  })

  test('what changes something is POST only, what does not is GET only', async () => {
    const { path, client } = await start()
    for (const target of ['/mount', '/replace', '/unmount']) {
      expect(await send(path, 'GET', target)).toMatchObject({ status: 405, allow: 'POST' })
      expect(await send(path, 'PUT', target, mount)).toMatchObject({ status: 405, allow: 'POST' })
    }
    for (const target of ['/mounts', '/status']) {
      expect(await send(path, 'POST', target, '{}')).toMatchObject({ status: 405, allow: 'GET' })
    }
    expect(await client.mounts()).toEqual([])
  })

  test('a body that is not declared as JSON is refused', async () => {
    const { path } = await start()
    expect(await send(path, 'POST', '/mount', mount, 'text/plain')).toMatchObject({ status: 415 })
    const declared = await send(path, 'POST', '/mount', mount, 'Application/JSON; charset=utf-8')
    expect(declared).toMatchObject({ status: 201 })
  })

  test('a body of more than 64 KiB is refused', async () => {
    const { path } = await start()
    const refused = await send(path, 'POST', '/mount', JSON.stringify({ prefix: `/${'a'.repeat(65_536)}` }))
    expect(refused).toMatchObject({ status: 413, answer: { error: { code: 'ERR_CONTROL_PROTOCOL' } } })
  })

  test('a client that leaves in the middle of a body harms nobody', async () => {
    const { path, client } = await start()
    const socket = connect({ path })
    await once(socket, 'connect')
    socket.end(
      'POST /mount HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{',
    )
    socket.resume()
    await once(socket, 'close')
    expect(await client.mounts()).toEqual([])
  })
})
