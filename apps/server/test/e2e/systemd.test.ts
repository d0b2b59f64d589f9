import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { FdSocket } from '@x/fdpass'
import { expect, onTestFinished, test } from 'vitest'
import { TemporaryFolder } from '../temporary-folder.ts'
import { Connection } from './connection.ts'
import { handlerFile } from './server-process.ts'

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))

/** A datagram socket that a service tells its state, as systemd has one. */
class Manager {
  readonly folder = new TemporaryFolder()
  readonly #socket: FdSocket

  constructor() {
    this.#socket = FdSocket.bound(`${this.folder.path}/notify`)
    onTestFinished(() => {
      this.#socket.close()
      this.folder[Symbol.dispose]()
    })
  }

  get path(): string {
    return `${this.folder.path}/notify`
  }

  /** The next message that has `assignment`; those before it are dropped. */
  async hears(assignment: string): Promise<string[]> {
    for (;;) {
      const message = await this.#socket.recv({ signal: AbortSignal.timeout(20_000) })
      const lines = message?.data.toString().split('\n') ?? []
      for (const fd of message?.fds ?? []) fd.close()
      if (lines.includes(assignment)) return lines
    }
  }
}

function writeConfig(folder: TemporaryFolder, more: object = {}): string {
  const mounts = [{ prefix: '/', module: handlerFile('hello') }]
  const config = { port: 0, workers: 1, control: 'c.sock', mounts, ...more }
  return folder.write('x.json', JSON.stringify(config))
}

function start(command: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  const [program = '', ...args] = command
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  return child
}

test('the manager is told of the start, of reloads and of the stop, and the watchdog is fed', async () => {
  const manager = new Manager()
  const file = writeConfig(manager.folder)
  const child = start([process.execPath, main, '--config', file], {
    NOTIFY_SOCKET: manager.path,
    WATCHDOG_USEC: '200000',
  })
  const [, status = ''] = await manager.hears('READY=1')
  expect(status).toMatch(/^STATUS=serving at http:\/\/127\.0\.0\.1:\d+\/$/u)
  await manager.hears('WATCHDOG=1')
  await manager.hears('WATCHDOG=1')
  child.kill('SIGHUP')
  const reloading = await manager.hears('RELOADING=1')
  expect(reloading[1]).toMatch(/^MONOTONIC_USEC=\d+$/u)
  const told = Number(reloading[1]?.split('=')[1])
  expect(Math.abs(Number(process.hrtime.bigint() / 1000n) - told)).toBeLessThan(60e6)
  await manager.hears('READY=1')
  manager.folder.write('x.json', 'no JSON')
  child.kill('SIGHUP')
  await manager.hears('RELOADING=1')
  await manager.hears('READY=1')
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  expect(await manager.hears('STOPPING=1')).toContain('EXTEND_TIMEOUT_USEC=35000000')
  expect(await exit).toEqual([0, null])
})

test('after a restart the manager watches the new process', async () => {
  const manager = new Manager()
  const file = writeConfig(manager.folder)
  const child = start([process.execPath, main, '--config', file], {
    NOTIFY_SOCKET: manager.path,
    WATCHDOG_USEC: '200000',
  })
  const exited = once(child, 'exit')
  await manager.hears('READY=1')
  const restart = start([process.execPath, main, 'restart', '--json', '--config', file], {})
  const [report] = (await once(restart.stdout as Readable, 'data')) as [Buffer]
  const { pid } = JSON.parse(report.toString()) as { pid: number }
  onTestFinished(() => void process.kill(pid, 'SIGKILL'))
  await manager.hears(`MAINPID=${pid}`)
  await exited
  await manager.hears('WATCHDOG=1')
})

test('a watchdog is not fed when no worker serves', async () => {
  const manager = new Manager()
  const broken = `${manager.folder.path}/broken`
  manager.folder.write(
    'a.mjs',
    `import { existsSync, writeFileSync } from 'node:fs'
    export function init() { if (existsSync('${broken}')) throw new Error('broken') }
    export function handle() { writeFileSync('${broken}', ''); process.exit(1) }`,
  )
  const mounts = [{ prefix: '/', module: 'a.mjs' }]
  const file = writeConfig(manager.folder, { mounts })
  const child = start([process.execPath, main, '--config', file], {
    NOTIFY_SOCKET: manager.path,
    WATCHDOG_USEC: '50000',
  })
  const [, status = ''] = await manager.hears('READY=1')
  using connection = await Connection.open(Number(new URL(status.replace('STATUS=serving at ', '')).port))
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  for await (const line of lines) if (line.includes('a worker died')) break
  // All that was sent before the death is heard, and then nothing more.
  await expect(
    (async () => {
      for (;;)
        await Promise.race([
          manager.hears('WATCHDOG=1'),
          once(AbortSignal.timeout(1000), 'abort').then(() => Promise.reject(new Error('hungry'))),
        ])
    })(),
  ).rejects.toThrow('hungry')
})

test('the listener is kept by the manager, and the next process goes on with it', async () => {
  const folder = new TemporaryFolder()
  onTestFinished(() => {
    folder[Symbol.dispose]()
  })
  using socket = FdSocket.bound(`${folder.path}/notify`)
  const env = { NOTIFY_SOCKET: `${folder.path}/notify` }
  const first = start([process.execPath, main, '--config', writeConfig(folder)], env)
  const stored = await socket.recv({ signal: AbortSignal.timeout(20_000) })
  expect(stored?.data.toString().split('\n')).toEqual(
    expect.arrayContaining(['FDSTORE=1', 'FDNAME=x-server-listener']),
  )
  const [fd] = stored?.fds ?? []
  expect(fd?.kind).toBe('tcp-listener')
  const told = (await socket.recv({ signal: AbortSignal.timeout(20_000) }))?.data.toString() ?? ''
  const port = Number(/:(\d+)\/$/u.exec(told)?.[1])
  const ended = once(first, 'exit')
  first.kill('SIGKILL')
  await ended
  // In the backlog of a socket that nobody serves.
  using waiting = await Connection.open(port)
  const answer = waiting.get('/')
  const passing = ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', process.execPath, main]
  const child = spawn(passing[0] as string, [...passing.slice(1), '--config', `${folder.path}/x.json`], {
    env: { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: 'x-server-listener' },
    stdio: ['ignore', 'ignore', 'inherit', fd?.fd],
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  fd?.close()
  expect((await answer)?.status).toBe(200)
})

const hasTool = spawnSync('systemd-socket-activate', ['--version']).status === 0

test.runIf(hasTool)('a socket that systemd-socket-activate passes is served', async () => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const manager = new Manager()
  const file = writeConfig(manager.folder, { port: 1 })
  const activation = ['-l', `127.0.0.1:${port}`, '-E', `NOTIFY_SOCKET=${manager.path}`]
  const child = start(
    ['systemd-socket-activate', ...activation, process.execPath, main, '--config', file],
    {},
  )
  const errors = createInterface({ input: child.stderr as NodeJS.ReadableStream })
  await once(errors, 'line', { signal: AbortSignal.timeout(20_000) })
  using connection = await Connection.open(port)
  const answer = connection.get('/')
  const ready = await manager.hears('READY=1')
  expect(ready[1]).toBe(`STATUS=serving at http://127.0.0.1:${port}/`)
  expect((await answer)?.status).toBe(200)
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await manager.hears('STOPPING=1')
  expect(await exit).toEqual([0, null])
})
