import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'
import type { Outcome } from './server-process.ts'

const start = (probation: number): Promise<ServerProcess> =>
  ServerProcess.start({ mounts: [{ prefix: '/', module: handlerFile('echo') }], timeouts: { probation } })

const pidOf = (response: { body: string } | undefined): number =>
  Number(/pid=(\d+)/.exec(response?.body ?? '')?.[1])

/** A restart that has come to its probation: the new process serves. */
const begin = async (server: ServerProcess): Promise<{ pid: number; outcome: Promise<Outcome> }> => {
  const known = new Set(server.log.map(({ pid }) => pid))
  const outcome = server.command('restart')
  const { pid } = await server.logged(({ msg, pid: of }) => msg === 'serving' && !known.has(of))
  return { pid: Number(pid), outcome }
}

describe('a new process that dies in its probation', () => {
  test('takes along what it had in hand; all else goes on in the old process, at the byte where it was', async () => {
    await using server = await start(60_000)
    const names = ['idle', 'half', 'served', 'twice', 'inHand', 'partial', 'closed'] as const
    const opened = await Promise.all(names.map(() => Connection.open(server.port)))
    const of = (name: (typeof names)[number]): Connection => opened[names.indexOf(name)] as Connection
    for (const connection of opened) expect(pidOf(await connection.get('/first'))).toBe(server.pid)
    of('half').send('GET /half HTTP/1.1\r\nHo')
    const { pid, outcome } = await begin(server)

    for (const name of ['served', 'twice', 'twice'] as const) expect(pidOf(await of(name).get('/'))).toBe(pid)
    const fifo = join(server.folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    const inHand = of('inHand').get(`/?fifo=${fifo}`)
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    of('partial').send('GET /partial HT')
    // Another connection's answer tells that the new process has read it.
    await expect
      .poll(async () => {
        await of('twice').get('/')
        const { stdout } = await server.command('status', '--json')
        return (JSON.parse(stdout) as { counters: { bytesIn: number } }).counters.bytesIn > 0
      })
      .toBe(true)
    // It ends for its client although the old process has it open, too.
    of('closed').send('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    expect(pidOf(await of('closed').response())).toBe(pid)
    expect(await of('closed').response()).toBeUndefined()
    using fresh = await Connection.open(server.port)
    expect(pidOf(await fresh.get('/'))).toBe(pid)

    process.kill(pid, 'SIGKILL')
    const { code, stderr } = await outcome
    expect(code).toBe(1)
    expect(stderr).toContain('the new process has ended in its probation; the old process serves on')
    expect(await inHand).toBeUndefined()
    for (const name of ['idle', 'served', 'twice'] as const)
      expect(pidOf(await of(name).get('/again'))).toBe(server.pid)
    of('half').send('st: a\r\n\r\n')
    expect(await of('half').response()).toMatchObject({
      body: expect.stringContaining(`pid=${server.pid} /half`) as string,
    })
    using after = await Connection.open(server.port)
    expect(pidOf(await after.get('/'))).toBe(server.pid)
    for (const connection of opened) connection[Symbol.dispose]()
  })

  test('can be followed by another one, which takes over with all connections; again and again', async () => {
    await using server = await start(300)
    const idle = await Promise.all(Array.from({ length: 50 }, () => Connection.open(server.port)))
    for (const connection of idle) await connection.get('/')
    for (let round = 0; round < 2; round++) {
      const { pid, outcome } = await begin(server)
      process.kill(pid, 'SIGKILL')
      expect((await outcome).code).toBe(1)
    }
    const { code, stdout } = await server.command('restart', '--json')
    expect(code).toBe(0)
    const report = JSON.parse(stdout) as { pid: number; connections: number }
    expect(report.connections).toBe(idle.length)
    for (const connection of idle) expect(pidOf(await connection.get('/'))).toBe(report.pid)
    expect(await server.exited()).toBe(0)
    for (const connection of idle) connection[Symbol.dispose]()
  })

  test('has what follows it late taken back, too', async () => {
    await using server = await start(60_000)
    using connection = await Connection.open(server.port)
    const fifo = join(server.folder, 'fifo')
    execFileSync('mkfifo', [fifo])
    const slow = connection.get(`/?fifo=${fifo}`)
    await expect.poll(async () => (await server.references())[0]).toBe(1)
    const { pid, outcome } = await begin(server)
    writeFileSync(fifo, 'go on')
    expect(pidOf(await slow)).toBe(server.pid)
    await expect.poll(async () => pidOf(await connection.get('/'))).toBe(pid)
    // The client may have the answer before the process has noted that it has sent it.
    await server.command('status')
    process.kill(pid, 'SIGKILL')
    await outcome
    expect(pidOf(await connection.get('/'))).toBe(server.pid)
  })

  test('by a hang is killed, and the old process goes on', async () => {
    await using server = await start(100)
    using connection = await Connection.open(server.port)
    await connection.get('/')
    const outcome = server.command('restart')
    const { pid } = await server.logged(({ msg }) => msg === 'taken over')
    process.kill(Number(pid), 'SIGSTOP')
    const { code, stderr } = await outcome
    expect(code).toBe(1)
    expect(stderr).toContain('the new process did not say in time that it serves')
    expect(pidOf(await connection.get('/'))).toBe(server.pid)
  })
})

describe('in the probation', () => {
  test.each([
    ['SIGTERM', 'old', 0],
    ['SIGTERM', 'new', 0],
    ['SIGQUIT', 'old', 1],
  ] as const)('%s to the %s process stops both', async (signal, which, exitCode) => {
    await using server = await start(60_000)
    using connection = await Connection.open(server.port)
    await connection.get('/')
    const { pid, outcome } = await begin(server)
    process.kill(which === 'old' ? server.pid : pid, signal)
    expect(await server.exited()).toBe(exitCode)
    await outcome
    await expect.poll(async () => (await server.command('status')).code).toBe(3)
    expect(await connection.response()).toBeUndefined()
  })

  test('SIGHUP to the old process reloads the new one', async () => {
    await using server = await start(60_000)
    const { pid, outcome } = await begin(server)
    process.kill(server.pid, 'SIGHUP')
    await server.logged(({ msg, pid: of }) => msg === 'reloaded' && of === pid)
    process.kill(pid, 'SIGKILL')
    expect((await outcome).code).toBe(1)
  })
})
