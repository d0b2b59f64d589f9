import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, lstatSync, readdirSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isMainThread } from 'node:worker_threads'
import { createDoor, openDoor } from '@x/doors'
import { FdSocket } from '@x/fdpass'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ControlClient } from '../src/control/control-client.ts'
import { ControlServer } from '../src/control/control-server.ts'
import { ControlError } from '../src/errors.ts'
import { decode, encode } from '../src/json-message/json-message.ts'
import { main } from './program.ts'
import { TableControl } from './table-control.ts'
import { temporaryFolder } from './temporary-folder.ts'

const welcome = { module: 'builtin:welcome' }
/** Where the packages of this repository are found. */
const here = fileURLToPath(new URL('.', import.meta.url))
const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups']

interface Started {
  path: string
  control: TableControl
  server: ControlServer
  client: ControlClient
}

const newPath = (): string => join(temporaryFolder().path, 'control.sock')

async function start(path = newPath(), how: 'listen' | 'listenBeside' = 'listen'): Promise<Started> {
  const control = new TableControl()
  const server = await ControlServer[how](path, control)
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

/** What the door answers to these bytes, without what a client of this package looks at before. */
async function send(path: string, data: Uint8Array | string): Promise<unknown> {
  using door = await openDoor(path)
  using response = await door.call(data)
  return decode(response.data)?.json
}

const refused = (message: string, code = 'ERR_CONTROL_PROTOCOL'): unknown => ({
  error: { code, message: expect.stringContaining(message) as unknown },
})

const programs = {
  door: "import { createDoor } from '@x/doors'; createDoor(() => '').attach(path)",
  socket: "import { createServer } from 'node:net'; createServer().listen(path)",
}

/** A process that has `path`, with its own id for PID. */
async function holding(path: string, what: 'door' | 'socket' = 'door'): Promise<() => Promise<void>> {
  const program = `const path = ${JSON.stringify(path)}.replace('PID', process.pid); ${programs[what]}
    setInterval(() => {}, 1e6); console.log('there')`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    cwd: here,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const kill = async (): Promise<void> => {
    if (child.signalCode !== null) return
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
  onTestFinished(kill)
  await once(child.stdout, 'data')
  return kill
}

/** Leaves a name whose process was killed. */
async function leaveStale(path: string, what?: 'door' | 'socket'): Promise<void> {
  const kill = await holding(path, what)
  await kill()
  if (!path.includes('PID')) expect(lstatSync(path).isSocket()).toBe(true)
}

/** Runs the program as a user who has no rights here. */
function asNobody(...args: string[]): string {
  return spawnSync('setpriv', [...nobody, process.execPath, main, ...args], { encoding: 'utf8' }).stderr
}

describe('the control door', () => {
  test.runIf(isMainThread)('is for its owner alone, whatever the umask is', async () => {
    const mask = process.umask(0)
    try {
      expect(statSync((await start()).path).mode & 0o7777).toBe(0o600)
      const { path } = await start(newPath(), 'listenBeside')
      expect(statSync(`${path}.${process.pid}`).mode & 0o7777).toBe(0o600)
    } finally {
      expect(process.umask(mask)).toBe(0)
    }
  })

  test('is gone once the server is closed', async () => {
    const { path, server, client } = await start()
    await server.close()
    await server.close()
    expect(existsSync(path)).toBe(false)
    expect(await codeOf(client.status())).toBe('ERR_NO_SERVER')
  })

  test.each(['door', 'socket'] as const)('of a server that is dead is replaced, be it a %s', async (what) => {
    const path = newPath()
    await leaveStale(path, what)
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
    const path = newPath()
    await leaveStale(path)
    const starts = await Promise.allSettled([start(path), start(path), start(path)])
    expect(starts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect((await new ControlClient(path).status()).pid).toBe(process.pid)
  })

  test('takes the place of another one’s at once, which does not take it away at its end', async () => {
    const old = await start()
    const { path, client, server, control } = await start(old.path, 'listenBeside')
    await control.mount({ prefix: '/new', spec: welcome })
    expect(await client.mounts()).toEqual([])
    const left = old.server.leave()
    expect(await client.mounts()).toEqual([])
    server.claim()
    expect(existsSync(`${path}.${process.pid}`)).toBe(false)
    expect(await client.mounts()).toMatchObject([{ prefix: '/new' }])
    await left
    expect(await client.mounts()).toMatchObject([{ prefix: '/new' }])
    await server.close()
    expect(existsSync(path)).toBe(false)
  })

  test('is never taken away by a server whose place another one has', async () => {
    const old = await start()
    const { path, client, server } = await start(old.path, 'listenBeside')
    server.claim()
    await old.server.close()
    expect(existsSync(path)).toBe(true)
    const third = await start(path, 'listenBeside')
    third.server.claim()
    await server.close()
    expect(await client.status()).toMatchObject({ pid: process.pid })
    expect(readdirSync(join(path, '..'))).toEqual(['control.sock'])
  })

  test('takes its place back from one that has come to nothing', async () => {
    const { path, control, client, server } = await start()
    await control.mount({ prefix: '/old', spec: welcome })
    for (let count = 0; count < 2; count++) {
      const next = await start(path, 'listenBeside')
      next.server.claim()
      expect(await client.mounts()).toEqual([])
      await server.replaced()
      server.claim()
      expect(await client.mounts()).toMatchObject([{ prefix: '/old' }])
      await next.server.close()
    }
    server.claim()
    expect(readdirSync(join(path, '..'))).toEqual(['control.sock'])
    expect(statSync(path).mode & 0o7777).toBe(0o600)
    expect(await client.mounts()).toMatchObject([{ prefix: '/old' }])
    await server.close()
    expect(readdirSync(join(path, '..'))).toEqual([])
  })

  test('that was to take a place and has not leaves nothing behind', async () => {
    const { path, client } = await start()
    const { server } = await start(path, 'listenBeside')
    await server.close()
    expect(readdirSync(join(path, '..'))).toEqual(['control.sock'])
    expect((await client.status()).pid).toBe(process.pid)
  })

  test.each(['listen', 'listenBeside'] as const)(
    '%s removes what killed processes have left beside it, and nothing of a live one',
    async (how) => {
      const folder = temporaryFolder()
      const path = join(folder.path, 'control.sock')
      await leaveStale(`${path}.PID`)
      const [left = ''] = readdirSync(folder.path)
      expect(left).toMatch(/^control\.sock\.\d+$/u)
      await holding(`${path}.PID`)
      folder.write('control.sock.1999999', 'a file')
      const before = readdirSync(folder.path)
      expect(before).toHaveLength(3)
      await start(path, how)
      const made = how === 'listen' ? 'control.sock' : `control.sock.${process.pid}`
      expect(readdirSync(folder.path)).toEqual([...before.filter((name) => name !== left), made].sort())
    },
  )

  test.runIf(process.getuid?.() === 0)('is refused to other users, also when they have got it', async () => {
    const folder = temporaryFolder()
    chmodSync(folder.path, 0o755)
    const { path } = await start(join(folder.path, 'control.sock'))
    expect(asNobody('status', '--control', path)).toContain('EACCES')
    chmodSync(path, 0o666)
    // It would be this very process that answers: it must not block.
    const child = spawn('setpriv', [...nobody, process.execPath, main, 'status', '--control', path])
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
    await once(child, 'close')
    expect(said).toBe('x-server: only the user of the server, and root, may command it\n')
    expect(child.exitCode).toBe(1)
  })

  test('in a folder that may not be written to, or at another user’s, is refused', async ({ skip }) => {
    if (process.getuid?.() !== 0) skip('it takes another user')
    const folder = temporaryFolder()
    chmodSync(folder.path, 0o755)
    const path = join(folder.path, 'control.sock')
    expect(asNobody('--port', '0', '--control', path)).toContain('its folder may not be written to')
    await leaveStale(path)
    expect(asNobody('--port', '0', '--control', path)).toContain(
      `${path} belongs to another user; choose another path with --control`,
    )
  })
})

describe('commands', () => {
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

  test('metrics are a text, health says whether it is ready', async () => {
    const { client, control } = await start()
    expect(await client.metrics()).toBe(control.metrics())
    expect(await client.health()).toEqual(control.health())
  })

  test('an answer is as long as it has to be', async () => {
    const { client, control } = await start()
    for (let count = 0; count < 1000; count++)
      await control.mount({ prefix: `/${'long'.repeat(20)}${count}`, spec: welcome })
    expect(await client.mounts()).toHaveLength(1000)
  })

  test('a slow one holds up nobody, and many go on at a time', async () => {
    const { client, control } = await start()
    await client.mount({ prefix: '/a', spec: welcome })
    const lease = control.hold('/a')
    const replaced = client.replace({ prefix: '/a', spec: welcome })
    while ((await client.mounts()).length === 1);
    const answers = await Promise.all(Array.from({ length: 100 }, () => client.status()))
    expect(new Set(answers.map(({ pid }) => pid))).toEqual(new Set([process.pid]))
    lease.release()
    expect(await replaced).toMatchObject({ prefix: '/a', state: 'active' })
  })

  test('what was asked for goes on when its caller gives up, or is killed', async () => {
    const { client, control, path } = await start()
    for (const prefix of ['/a', '/b']) await client.mount({ prefix, spec: welcome })
    const leases = ['/a', '/b'].map((prefix) => control.hold(prefix))
    const giveUp = new AbortController()
    const given = codeOf(client.unmount({ prefix: '/a' }, giveUp.signal))
    const child = spawn(process.execPath, [main, 'unmount', '/b', '--control', path], { stdio: 'ignore' })
    while ((await client.mounts()).some(({ state }) => state !== 'draining'));
    giveUp.abort()
    expect(await given).toBe('ETIMEDOUT')
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
    expect(await client.mounts()).toMatchObject([{ state: 'draining' }, { state: 'draining' }])
    for (const lease of leases) lease.release()
    await expect.poll(() => client.mounts()).toEqual([])
  })

  test('in progress at the end of the server are waited for, but not for ever', async () => {
    const { client, control, server } = await start()
    for (const prefix of ['/a', '/b']) await client.mount({ prefix, spec: welcome })
    const [first, second] = ['/a', '/b'].map((prefix) => control.hold(prefix))
    const soon = client.unmount({ prefix: '/a' })
    const never = codeOf(client.unmount({ prefix: '/b' }))
    while ((await client.mounts()).some(({ state }) => state !== 'draining'));
    const closed = server.close()
    first?.release()
    await soon
    expect(await never).toBe('ECONNRESET')
    await closed
    second?.release()
  })

  test('nobody at the name is an error of its own', async () => {
    const folder = temporaryFolder()
    expect(await codeOf(new ControlClient(join(folder.path, 'absent')).mounts())).toBe('ERR_NO_SERVER')
    const stale = join(folder.path, 'stale')
    await leaveStale(stale)
    expect(await codeOf(new ControlClient(stale).mounts())).toBe('ERR_NO_SERVER')
  })

  test('a stranger at the name is an error, and one that says nothing is left at the deadline', async () => {
    const folder = temporaryFolder()
    const web = createServer((_, response) => response.end('{"hello":"world"}'))
    await once(web.listen(join(folder.path, 'web')), 'listening')
    let talks = true
    const door = createDoor(() => (talks ? encode({ hello: 'world' }) : new Promise<never>(() => undefined)))
    door.attach(join(folder.path, 'door'))
    onTestFinished(() => {
      web.close()
      door.detach()
      door.close()
    })
    for (const name of ['web', 'door'])
      expect(await codeOf(new ControlClient(join(folder.path, name)).mounts())).toBe('ERR_CONTROL_PROTOCOL')
    talks = false
    const client = new ControlClient(join(folder.path, 'door'))
    expect(await codeOf(client.mounts(AbortSignal.timeout(50)))).toBe('ETIMEDOUT')
  })
})

describe('the protocol', () => {
  test.each([
    ['{"operation":"absent"}', 'operation: "absent" is none; use mounts, status'],
    ['{"operation":"__proto__"}', 'operation: "__proto__" is none'],
    ['{}', 'operation: is missing; add it'],
    ['[]', 'is not an object'],
    ['{"operation":"status","x":1}', 'x: is not a known key'],
    ['{"operation":"mount","prefix":"a"}', 'prefix: "a" is not a path prefix'],
    ['{"operation":"mount","prefix":"/a","spec":{"module":"a.js"}}', 'spec.module: "a.js" is relative'],
    ['{"operation":"mount","prefix":"/a","spec":{"module":"/a.js"},"x":1}', 'x: is not a known key'],
    ['{"operation":"unmount","prefix":"/a","deadline":-1}', 'deadline: -1 is not a deadline'],
    ['{"operation":"restart","wait":1}', 'wait: wait is true or false'],
    ['{"operation":"unmount","prefix":"/a"}', 'nothing is mounted', 'ERR_MOUNT_NOT_FOUND'],
  ])('%s is refused', async (text, message, code?: string) => {
    const { path } = await start()
    const length = Buffer.alloc(4)
    length.writeUInt32LE(text.length)
    expect(await send(path, Buffer.concat([length, Buffer.from(text)]))).toEqual(refused(message, code))
  })

  test.each([
    ['nothing', ''],
    ['less than a length', 'abc'],
    ['less than it says', '\x09\0\0\0{}'],
    ['what is not JSON', '\x02\0\0\0{]'],
    ['more than a text', Buffer.concat([encode({ operation: 'status' }), Buffer.from('x')])],
  ])('%s is refused', async (_, data) => {
    const { path } = await start()
    expect(await send(path, data)).toEqual(refused('a command is the length of a JSON text'))
  })

  test('a command of more than 64 KiB is refused', async () => {
    const { path, client } = await start()
    const mount = { prefix: `/${'a'.repeat(65_536)}`, spec: welcome }
    await expect(client.mount(mount)).rejects.toMatchObject({
      code: 'ERR_CONTROL_PROTOCOL',
      message: 'the command has more than 65536 bytes; make it shorter',
    })
    using door = await openDoor(path)
    await expect(door.call(Buffer.alloc(65_537))).rejects.toMatchObject({ code: 'ENOBUFS' })
    expect(await client.mounts()).toEqual([])
  })

  test('a client that is none harms nobody', async () => {
    const { path, client } = await start()
    using socket = FdSocket.connectSync(path, { type: 'seqpacket' })
    ;(await socket.recv())?.close()
    await socket.send(Buffer.from('GET /mounts HTTP/1.1\r\nhost: x\r\n\r\n'))
    expect(await socket.recv()).toBeNull()
    expect(await client.mounts()).toEqual([])
  })
})
