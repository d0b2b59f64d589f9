import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import { main } from '../program.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { Connection } from './connection.ts'
import { handlerFile, run, ServerProcess } from './server-process.ts'

const probes = [
  { prefix: '/healthz', module: 'builtin:health' },
  { prefix: '/readyz', module: 'builtin:health', options: { check: 'ready' } },
]

/** What `x-server health` says, with its exit code. */
async function ask(control: string): Promise<[number | null, unknown]> {
  const { code, stdout } = await run(process.execPath, [main, 'health', '--json', '--control', control])
  return [code, stdout === '' ? undefined : JSON.parse(stdout)]
}

test('a running server is alive and ready, at its port and by its control door', async () => {
  await using server = await ServerProcess.start({ mounts: probes })
  const good = { ready: true, state: 'running', workers: 2 }
  using connection = await Connection.open(server.port)
  for (const path of ['/healthz', '/readyz']) {
    const answer = await connection.get(path)
    expect([answer?.status, JSON.parse(answer?.body ?? '')]).toEqual([200, good])
  }
  expect(await ask(server.control)).toEqual([0, good])
  expect((await connection.get('/healthz/more'))?.status).toBe(404)
})

test('an option of builtin:health that is wrong is refused', async () => {
  await using server = await ServerProcess.start({ mounts: [] })
  const options = '{"check":"lively"}'
  const { stderr } = await server.command('mount', '/h', '--module', 'builtin:health', '--options', options)
  expect(stderr).toContain('check: "lively" is not a check; use live or ready')
})

test('a server that stops is alive and not ready', async () => {
  await using server = await ServerProcess.start({
    mounts: [{ prefix: '/body', module: handlerFile('body') }],
  })
  using busy = await Connection.open(server.port)
  busy.send('POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n')
  await expect.poll(() => server.references()).toEqual([1])
  server.signal('SIGTERM')
  await server.logged(({ msg }) => msg.startsWith('stopping'))
  const draining = { ready: false, state: 'draining', workers: 2 }
  expect(await ask(server.control)).toEqual([1, draining])
  busy.send('x')
  expect((await busy.response())?.status).toBe(200)
  expect(await server.exited()).toBe(0)
})

test('a server that starts is alive and not ready', async () => {
  const folder = temporaryFolder()
  folder.write(
    'wait.mjs',
    'export function init() { return new Promise(() => {}) }\nexport function handle() {}',
  )
  const control = `${folder.path}/c.sock`
  const mounts = [{ prefix: '/', module: 'wait.mjs' }]
  const file = folder.write('x.json', JSON.stringify({ port: 0, workers: 1, control, mounts }))
  const child = spawn(process.execPath, [main, '--config', file], { stdio: 'ignore' })
  onTestFinished(() => void child.kill('SIGKILL'))
  await expect.poll(() => existsSync(control)).toBe(true)
  await expect.poll(() => ask(control)).toEqual([1, { ready: false, state: 'starting', workers: 1 }])
})

test('a server whose workers are all gone is alive and not ready', async () => {
  const folder = temporaryFolder()
  const broken = `${folder.path}/broken`
  folder.write(
    'a.mjs',
    `import { existsSync, writeFileSync } from 'node:fs'
    export function init() { if (existsSync('${broken}')) throw new Error('broken') }
    export function handle() { writeFileSync('${broken}', ''); process.exit(1) }`,
  )
  const mounts = [{ prefix: '/', module: `${folder.path}/a.mjs` }]
  await using server = await ServerProcess.start({ workers: 1, mounts })
  using connection = await Connection.open(server.port)
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await expect.poll(() => ask(server.control)).toEqual([1, { ready: false, state: 'running', workers: 0 }])
})
