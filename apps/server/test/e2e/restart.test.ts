import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openDoor } from '@x/doors'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ControlClient } from '../../src/control/control-client.ts'
import { decode, encode } from '../../src/json-message/json-message.ts'
import { PROTOCOL } from '../../src/take-over/protocol.ts'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile, run } from './server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'x-server-restart-'))
const program = join(folder, 'keep-alive')

beforeAll(() => {
  const source = fileURLToPath(new URL('../load/keep-alive.c', import.meta.url))
  execFileSync('cc', ['-O2', '-Wall', source, '-o', program])
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

interface LoadReport {
  requests: number
  failed: number
  connections: number
  survived: number
  moved: number
  closedIdle: number
  announced: number
}

/** Clients in a process of their own, until `during` has ended. */
const underLoad = async (port: number, during: () => Promise<void>): Promise<LoadReport> => {
  const kinds = ['think=60', 'split=10', 'post=10', 'pipe=10', 'slow=10', 'new=5', 'idle=10']
  const child = spawn(program, [String(port), '60', ...kinds], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text += more))
  await during()
  child.kill('SIGTERM')
  await once(child, 'close')
  return JSON.parse(text) as LoadReport
}

const start = (config: object = {}): Promise<ServerProcess> =>
  ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('echo') }], ...config })

const pidOf = (response: { body: string } | undefined): number =>
  Number(/pid=(\d+)/.exec(response?.body ?? '')?.[1])

/** The first step of a new process, this one. */
const beginOf = ({ port }: ServerProcess): object => ({
  step: 'begin',
  protocol: PROTOCOL,
  version: '1',
  pid: process.pid,
  descriptors: 1e6,
  host: '127.0.0.1',
  port,
})

/** A FIFO for which a request waits until something is written to it. */
const newFifo = (): string => {
  const path = join(mkdtempSync(join(folder, 'fifo-')), 'fifo')
  execFileSync('mkfifo', [path])
  return path
}

const restart = async (
  server: ServerProcess,
): Promise<{ pid: number; connections: number; stall: number }> => {
  const { code, stdout, stderr } = await server.command('restart', '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout) as { pid: number; connections: number; stall: number }
}

interface Status {
  counters: { requests: number }
  restarts: object[]
  workers: object[]
  connectionStates: Record<string, number>
}

const status = async (server: ServerProcess): Promise<Status> =>
  JSON.parse((await server.command('status', '--json')).stdout) as Status

const requests = async (server: ServerProcess): Promise<number> => (await status(server)).counters.requests

/** What is at the control path, and beside it. */
const names = ({ folder: of }: ServerProcess): string[] =>
  readdirSync(of)
    .filter((name) => name.startsWith('control.sock'))
    .sort()

describe('a restart', () => {
  test('under load loses nothing: each request is answered, each connection lives on in the new process', async () => {
    await using server = await start()
    const report = await underLoad(server.port, async () => {
      for (let count = 0; count < 3; count++) {
        const { pid } = await restart(server)
        await server.logged(({ msg, pid: of }) => msg === 'serving' && of === pid)
        const before = server.log.length
        await expect.poll(async () => (await requests(server)) > 0 && server.log.length >= before).toBe(true)
      }
    })
    expect(report).toMatchObject({ failed: 0, closedIdle: 0, announced: 0 })
    expect(report.survived).toBe(report.connections)
    expect(report.moved).toBe(report.connections)
    expect(await server.exited()).toBe(0)
  })

  test('keeps what was read of a request: a head, and a whole request behind one that runs', async () => {
    await using server = await start()
    using half = await Connection.open(server.port)
    using piped = await Connection.open(server.port)
    half.send('GET /half HTTP/1.1\r\nHo')
    const fifo = newFifo()
    const first = `GET /first?fifo=${fifo} HTTP/1.1\r\nHost: a\r\n\r\n`
    piped.send(`${first}GET /second HTTP/1.1\r\nHost: a\r\n\r\nGET /thi`)
    const old = server.pid
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    const { pid } = await restart(server)
    half.send('st: a\r\n\r\n')
    expect(pidOf(await half.response())).toBe(pid)
    writeFileSync(fifo, 'go on')
    expect(pidOf(await piped.response())).toBe(old)
    expect(await piped.response()).toMatchObject({
      body: expect.stringContaining(`pid=${pid} /second`) as string,
    })
    piped.send('rd HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await piped.response()).toMatchObject({
      body: expect.stringContaining(`pid=${pid} /third`) as string,
    })
    expect(await server.exited()).toBe(0)
  })

  test('leaves a request whose body arrives to the old process, and its connection follows', async () => {
    await using server = await start()
    using connection = await Connection.open(server.port)
    connection.send('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345')
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    const old = server.pid
    const { pid } = await restart(server)
    connection.send('67890')
    const response = await connection.response()
    expect(pidOf(response)).toBe(old)
    expect(response?.headers.get('connection')).toBeUndefined()
    expect(pidOf(await connection.get('/next'))).toBe(pid)
    expect(await server.exited()).toBe(0)
  })

  test('leaves a request whose trailers arrive to the old process, and its connection follows', async () => {
    await using server = await start({ mounts: [{ prefix: '/', module: handlerFile('trailers') }] })
    using connection = await Connection.open(server.port)
    connection.send(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: 1\r\nX',
    )
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    const old = server.pid
    const { pid } = await restart(server)
    connection.send(': 2\r\n\r\n')
    const end = /x-pid: \d+\r\n\r\n$/u
    expect(await connection.until(end)).toContain(`\r\n0\r\nx-echo: 1; 2\r\nx-pid: ${old}\r\n`)
    connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await connection.until(end)).toContain(`\r\n0\r\nx-echo: \r\nx-pid: ${pid}\r\n`)
    expect(await server.exited()).toBe(0)
  })

  test('by SIGUSR2, with --wait, and again and again; the counters go on, and no descriptor is left', async () => {
    await using server = await start()
    using connection = await Connection.open(server.port)
    for (let n = 0; n < 5; n++) await connection.get('/')
    process.kill(server.pid, 'SIGUSR2')
    const { pid } = await server.logged(({ msg }) => msg === 'taken over')
    expect(pidOf(await connection.get('/'))).toBe(pid)
    expect(await requests(server)).toBe(6)
    const fifo = newFifo()
    const slow = connection.get(`/?fifo=${fifo}`)
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    const waiting = server.command('restart', '--wait')
    await server.logged(({ msg, from }) => msg === 'taken over' && from === pid)
    writeFileSync(fifo, 'go on')
    const { stdout } = await waiting
    expect(stdout).toContain('1 followed when their requests were answered')
    expect(pidOf(await slow)).toBe(pid)
    expect(await requests(server)).toBe(7)
    const open = server.descriptorsOf(server.serving)
    for (let n = 0; n < 2; n++) await restart(server)
    await expect.poll(() => server.descriptorsOf(server.serving)).toBeLessThanOrEqual(open)
  })

  test('is answered by one of both processes in each moment, over its commands', async () => {
    await using server = await start()
    const client = new ControlClient(server.control)
    const pids = new Set<number>()
    let asked = 0
    let over = false
    const ask = async (): Promise<void> => {
      for (; !over; asked++) pids.add((await client.status()).pid)
    }
    const asking = ask()
    const successors: number[] = []
    try {
      for (let count = 0; count < 2; count++) {
        const { pid } = await restart(server)
        successors.push(pid)
        expect((await client.status()).pid).toBe(pid)
      }
      await expect.poll(() => pids, { timeout: 20_000 }).toEqual(new Set([server.pid, ...successors]))
    } finally {
      over = true
    }
    await asking
    expect(asked).toBeGreaterThan(100)
    expect(names(server)).toEqual(['control.sock', 'control.sock.restart'])
  })

  test('goes on with the list of those before it, also of those that failed; the newest is first', async () => {
    const module = join(mkdtempSync(join(folder, 'handler-')), 'handler.mjs')
    const sound = 'export const handle = () => ({ body: `pid=${process.pid}` })'
    writeFileSync(module, sound)
    await using server = await start({ mounts: [{ prefix: '/', module }] })
    using connection = await Connection.open(server.port)
    await connection.get('/')
    const first = server.pid
    writeFileSync(module, 'export const init = () => { throw new Error("broken") }\nexport const handle = 1')
    await server.command('restart')
    writeFileSync(module, sound)
    const { pid } = await restart(server)
    const next = await restart(server)
    const success = { version: '0.0.0', connections: 1, stall: expect.any(Number) as number, followed: 0 }
    const expected = [
      { at: expect.any(Number) as number, from: pid, to: next.pid, ...success },
      { at: expect.any(Number) as number, from: first, to: pid, ...success },
      {
        at: expect.any(Number) as number,
        from: first,
        failed: expect.stringMatching(/^the new process has ended/u) as string,
      },
    ]
    await expect.poll(async () => (await status(server)).restarts).toEqual(expected)
    expect(await status(server)).toMatchObject({
      workers: [
        { worker: 1, state: 'serving', started: expect.any(Number) as number },
        { worker: 2, state: 'serving' },
      ],
      connectionStates: { open: 1, idle: 1, reading: 0, handling: 0, writing: 0, closing: 0, yielded: 0 },
    })
  })

  test('stops as any server when it is told so afterwards, and takes its names away', async () => {
    await using server = await start()
    await restart(server)
    expect(await server.exited()).toBe(0)
    process.kill(server.serving, 'SIGTERM')
    await expect.poll(async () => (await server.command('status')).code).toBe(3)
    await expect(openDoor(`${server.control}.restart`)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(names(server)).toEqual([])
  })
})

describe('a restart that fails', () => {
  test('by a handler that does not load, or start, or ends the process, changes nothing, and says so', async () => {
    const handle = 'export const handle = () => ({ status: 200, body: `pid=${process.pid}` })'
    const broken = [
      'export function handle( {',
      'throw new Error("broken")',
      `export const init = () => { throw new Error("broken") }\n${handle}`,
      `export const init = () => process.kill(process.pid, "SIGKILL")\n${handle}`,
    ]
    const module = join(mkdtempSync(join(folder, 'handler-')), 'handler.mjs')
    writeFileSync(module, handle)
    await using server = await start({ mounts: [{ prefix: '/', module }] })
    using connection = await Connection.open(server.port)
    for (const source of broken) {
      writeFileSync(module, source)
      const { code, stderr } = await server.command('restart')
      expect({ source, code }).toEqual({ source, code: 1 })
      expect(stderr).toContain('the old process serves on')
      expect(pidOf(await connection.get('/'))).toBe(server.pid)
      // What was killed has had no time to take its name away.
      if (!source.includes('SIGKILL')) expect(names(server)).toEqual(['control.sock', 'control.sock.restart'])
    }
    expect(names(server)).toHaveLength(3)
    writeFileSync(module, handle)
    const { pid } = await restart(server)
    expect(pidOf(await connection.get('/'))).toBe(pid)
    expect(names(server)).toEqual(['control.sock', 'control.sock.restart'])
  })

  test('by a path of the self-test that its handlers refuse', async () => {
    const module = join(mkdtempSync(join(folder, 'handler-')), 'handler.mjs')
    const handle = (status: number): string =>
      `export const handle = () => ({ status: ${status}, body: \`pid=\${process.pid}\` })`
    writeFileSync(module, handle(200))
    await using server = await start({ mounts: [{ prefix: '/', module }], selfTest: ['/health?deep'] })
    writeFileSync(module, handle(500))
    const { code, stderr } = await server.command('restart')
    expect(code).toBe(1)
    expect(stderr).toContain('the self-test has got 500 from /health?deep')
    expect(await (await fetch(server.url())).text()).toBe(`pid=${server.pid}`)
  })

  test('by kill -9 of the new process after each of its steps: nothing is lost, and all stay where they are', async () => {
    await using server = await start()
    const successor = fileURLToPath(new URL('programs/successor.js', import.meta.url))
    const report = await underLoad(server.port, async () => {
      const steps = [
        'watch',
        'watch,begin',
        'watch,begin,take',
        'watch,begin,take,take',
        'watch,begin,take,take,commit',
      ]
      for (const [index, done] of [...steps, ...steps].entries()) {
        const args = [successor, server.control, '127.0.0.1', String(server.port), done]
        const { code, stdout } = await run(process.execPath, args)
        expect(code).toBeNull()
        expect(stdout).not.toContain('error')
        // To have watched is not to have begun.
        const failed = index + 1 - Math.ceil((index + 1) / steps.length)
        await expect
          .poll(() => server.log.filter(({ msg }) => msg.startsWith('the restart has failed')).length)
          .toBe(failed)
      }
    })
    expect(report).toMatchObject({ failed: 0, closedIdle: 0, announced: 0, moved: 0 })
    expect(report.survived).toBe(report.connections)
    const { pid } = await restart(server)
    expect(pid).not.toBe(server.pid)
  })

  test('because another one goes on, because of its limits, its version, or its address', async () => {
    await using server = await start()
    const ask = async (json: object | Buffer): Promise<unknown> => {
      const { data } = await door.call(json instanceof Buffer ? json : encode(json))
      return decode(data)?.json
    }
    using door = await openDoor(`${server.control}.restart`)
    const begin = beginOf(server)
    const refused = (code: string): object => ({ error: { code, message: expect.any(String) as string } })
    expect(await ask(begin)).toEqual(refused('ERR_CONTROL_PROTOCOL'))
    void ask({ step: 'watch' }).catch(() => undefined)
    expect(await ask({ ...begin, protocol: PROTOCOL + 1 })).toEqual(refused('ERR_RESTART_PROTOCOL'))
    expect(await ask({ ...begin, descriptors: 20 })).toEqual(refused('ERR_RESTART_LIMIT'))
    expect(await ask({ ...begin, port: 1 })).toEqual(refused('ERR_RESTART_LISTENER'))
    expect(await ask({ step: 'commit', probation: 0 })).toEqual(refused('ERR_RESTART_FAILED'))
    expect(await ask(Buffer.from('garbage of some length'))).toEqual(refused('ERR_CONTROL_PROTOCOL'))
    expect(await ask({ step: 'leave' })).toEqual(refused('ERR_CONTROL_PROTOCOL'))
    expect(await ask(begin)).toMatchObject({ pid: server.pid, connections: 0 })
    const { code, stderr } = await server.command('restart')
    expect(code).toBe(1)
    expect(stderr).toContain('another restart is going on')
    expect(await ask({ step: 'abort', reason: 'a test' })).toEqual({})
    await restart(server)
  })

  test('because it was asked for twice while the one before follows: one of them goes on', async () => {
    await using server = await start({ timeouts: { probation: 500 } })
    process.kill(server.pid, 'SIGUSR2')
    await server.logged(({ msg }) => msg === 'taken over')
    const outcomes = await Promise.all([server.command('restart'), server.command('restart')])
    expect(outcomes.map(({ code }) => code).sort()).toEqual([0, 1])
    expect(outcomes.map(({ stderr }) => stderr).join('')).toContain('another restart is going on')
  })

  test('to take over from nobody says so, with exit code 3', async () => {
    await using server = await start()
    const control = join(server.folder, 'nobody.sock')
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
    const { code, stderr } = await run(process.execPath, [
      main,
      '--take-over',
      '--control',
      control,
      '--port',
      '0',
    ])
    expect(stderr).toContain('no server can be taken over from')
    expect(code).toBe(3)
  })

  test('leaves connections that come meanwhile in the backlog, and serves them', async () => {
    await using server = await start()
    using door = await openDoor(`${server.control}.restart`)
    const begin = beginOf(server)
    void door.call(encode({ step: 'watch' })).catch(() => undefined)
    ;(await door.call(encode(begin))).close()
    ;(await door.call(encode({ step: 'take' }))).close()
    const socket = connectTcp(server.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write('GET /waits HTTP/1.1\r\nHost: a\r\n\r\n')
    await door.call(encode({ step: 'abort', reason: 'a test' }))
    const [data] = (await once(socket, 'data')) as [Buffer]
    expect(data.toString()).toContain(`pid=${server.pid} /waits`)
    socket.destroy()
  })
})
