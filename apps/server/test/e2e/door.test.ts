import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { serveDoor } from '../../src/index.ts'
import { doorMount } from '../../src/handlers/door/door-mount.ts'
import { TemporaryFolder } from '../temporary-folder.ts'
import { Connection } from './connection.ts'
import { ServerProcess } from './server-process.ts'

let server: ServerProcess
let folder: TemporaryFolder

/** A process that serves a door, until it is killed. */
class DoorProcess {
  readonly child: ChildProcess
  readonly #lines: string[] = []

  private constructor(program: string, path: string) {
    const child = spawn(process.execPath, [program, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.child = child
    createInterface(child.stdout).on('line', (line) => this.#lines.push(line))
  }

  static async start(path: string, program = 'door-program.js'): Promise<DoorProcess> {
    const started = new DoorProcess(fileURLToPath(new URL(program, import.meta.url)), path)
    onTestFinished(() => started.kill())
    await started.said(/^serving/u)
    return started
  }

  async said(pattern: RegExp, times = 1): Promise<void> {
    await expect.poll(() => this.#lines.filter((line) => pattern.test(line)).length).toBe(times)
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const ended = once(this.child, 'exit')
    this.child.kill(signal)
    await ended
  }
}

beforeAll(async () => {
  folder = new TemporaryFolder()
  const mount = (prefix: string, timeout: number): object => {
    const path = join(folder.path, `${prefix.slice(1)}.door`)
    return { prefix, module: 'builtin:door', options: { path, timeout } }
  }
  server = await ServerProcess.start({
    workers: 2,
    mounts: [mount('/door', 20_000), mount('/hasty', 100), mount('/example', 20_000)],
  })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const door = (name = 'door'): string => join(folder.path, `${name}.door`)
const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(server.url(path), init)

describe('a door that is served', () => {
  test('gets the request, and its answer goes to the client', async () => {
    const program = await DoorProcess.start(door())
    const response = await ask('/door/request?a=b', { headers: { 'x-field': 'ä' } })
    expect(response.headers.get('x-pid')).toBe(String(program.child.pid))
    const told = (await response.json()) as { headers: [string, string][] }
    expect(told).toMatchObject({
      method: 'GET',
      target: '/door/request?a=b',
      whole: '/door/request',
      query: 'a=b',
      version: '1.1',
      host: `127.0.0.1:${server.port}`,
      remoteAddress: '127.0.0.1',
      mountPath: '/door',
      rest: '/request',
      caller: server.pid,
    })
    expect(told.headers).toContainEqual(['x-field', 'ä'])
    expect(told.headers.map(([name]) => name)).not.toContain('connection')

    const echoed = await ask('/door/echo', { method: 'POST', body: Buffer.alloc(500_000, 'x') })
    expect([echoed.status, echoed.headers.get('x-a')]).toEqual([201, '1, 2'])
    expect((await echoed.arrayBuffer()).byteLength).toBe(500_000)
    const fetched = await ask('/door/fetch')
    expect([fetched.headers.get('x-fetch'), await fetched.text()]).toEqual(['1', 'of fetch'])
    const length = await ask('/door/length', { method: 'HEAD' })
    expect(length.headers.get('content-length')).toBe('77')
    expect((await ask('/door/absent')).status).toBe(404)
  })

  test('72: gets the trailers of a request when it has read the body', async () => {
    await DoorProcess.start(door())
    using connection = await Connection.open(server.port)
    const post = (trailers: string): void => {
      const head = 'POST /door/trailers HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n'
      connection.send(`${head}1\r\na\r\n0\r\n${trailers}\r\n`)
    }
    post('X: y\r\nHost: b\r\nX: z\r\n')
    const pairs = [
      ['x', 'y'],
      ['x', 'z'],
    ]
    expect(JSON.parse((await connection.response())?.body ?? '')).toEqual([[], pairs, 'y, z'])
    post('')
    expect(JSON.parse((await connection.response())?.body ?? '')).toEqual([[], [], null])
  })

  test('is 502 when it gives no response, and goes on', async () => {
    await DoorProcess.start(door())
    for (const path of ['/throws', '/nothing', '/status', '/garbage', '/empty', '/long', '/list']) {
      expect([path, (await ask(`/door${path}`)).status]).toEqual([path, 502])
    }
    expect((await ask('/door/fetch')).status).toBe(200)
  })

  test('is 413 for more than it takes', async () => {
    await DoorProcess.start(door())
    expect((await ask('/door/echo', { method: 'POST', body: Buffer.alloc(1024 * 1024) })).status).toBe(413)
  })

  test('is 504 when it takes too long, and its handler is told', async () => {
    const program = await DoorProcess.start(door('hasty'))
    expect((await ask('/hasty/slow')).status).toBe(504)
    await program.said(/^given up$/u)
  })
})

describe('a door that nobody serves', () => {
  test('is 503, before the first server and after the last', async () => {
    expect((await ask('/hasty/fetch')).status).toBe(503)
    const program = await DoorProcess.start(door())
    expect((await ask('/door/fetch')).status).toBe(200)
    await program.kill()
    const response = await ask('/door/fetch')
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1'])
  })

  test('is 502 for the calls that its server was killed in, and goes on with the next server', async () => {
    const program = await DoorProcess.start(door())
    const asked = Array.from({ length: 20 }, () => ask('/door/slow'))
    await program.said(/^slow$/u, 20)
    await program.kill()
    const statuses = (await Promise.all(asked)).map(({ status }) => status)
    expect(statuses).toEqual(Array<number>(20).fill(502))
    expect((await ask('/door/fetch')).status).toBe(503)
    const next = await DoorProcess.start(door())
    // Each worker opens the door for itself.
    for (let count = 0; count < 20; count++) {
      const response = await ask('/door/request')
      expect([response.status, response.headers.get('x-pid')]).toEqual([200, String(next.child.pid)])
    }
  })

  test('under load costs the requests of its absence, and those get an answer', async () => {
    const connections = await Promise.all(Array.from({ length: 8 }, () => Connection.open(server.port)))
    let stop = false
    const statuses = new Map<number | undefined, number>()
    const load = Promise.all(
      connections.map(async (connection) => {
        while (!stop) {
          const status = (await connection.get('/door/request'))?.status
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
    for (let round = 0; round < 3; round++) {
      const before = statuses.get(200) ?? 0
      const program = await DoorProcess.start(door())
      await expect.poll(() => statuses.get(200) ?? 0).toBeGreaterThan(before + 100)
      await program.kill()
    }
    stop = true
    await load
    for (const connection of connections) connection[Symbol.dispose]()
    expect([...statuses.keys()].filter((status) => ![200, 502, 503].includes(status ?? 0))).toEqual([])
    await expect.poll(() => server.references()).toEqual([0, 0, 0])
  })
})

test('the example is served, and ends by itself', async () => {
  const program = await DoorProcess.start(door('example'), '../../examples/door.js')
  const response = await ask('/example/morning', { method: 'POST', body: 'anna' })
  expect(await response.text()).toBe('Hello, anna, at /morning of /example.\n')
  await program.kill('SIGTERM')
  expect(program.child.exitCode).toBe(0)
  expect((await ask('/example/morning')).status).toBe(503)
})

test('options that cannot be used are refused', () => {
  expect(() => doorMount({})).toThrow('path: is missing; add it')
  expect(() => doorMount({ path: 'a.door' })).toThrow('is relative')
  expect(() => doorMount({ path: '/a', timeout: 0 })).toThrow('timeout: 0 is not a time')
  expect(() => doorMount({ path: '/a', port: 1 })).toThrow('port: is not a known key')
  // @ts-expect-error -- as JavaScript would
  expect(() => serveDoor({})).toThrow(TypeError)
})
