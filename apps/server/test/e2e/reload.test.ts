import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { TemporaryFolder } from '../temporary-folder.ts'
import { Connection } from './connection.ts'
import { run, ServerProcess } from './server-process.ts'

const saying = (what: string): string => `export function handle() { return { body: '${what}' } }\n`

describe('a reload', () => {
  let folder = new TemporaryFolder()
  afterEach(() => {
    folder[Symbol.dispose]()
    folder = new TemporaryFolder()
  })

  const mount = (name: string): { prefix: string; module: string } => ({
    prefix: `/${name}`,
    module: `${folder.path}/${name}.mjs`,
  })

  test('by command mounts, replaces with the new code of the same file, and unmounts', async () => {
    for (const name of ['a', 'b', 'c']) folder.write(`${name}.mjs`, saying(name))
    await using server = await ServerProcess.start({ mounts: [mount('a'), mount('b')] })
    using connection = await Connection.open(server.port)
    expect((await connection.get('/a'))?.body).toBe('a')
    await server.command('mount', '/extra', '--module', 'builtin:welcome')
    folder.write('a.mjs', saying('A'))
    server.configure({ mounts: [mount('a'), mount('c')] })
    const { code, stdout } = await server.command('reload')
    expect([code, stdout]).toEqual([0, 'Mounted /c.\nReplaced /a.\nUnmounted /b, /extra.\n'])
    expect((await connection.get('/a'))?.body).toBe('A')
    expect((await connection.get('/c'))?.body).toBe('c')
    expect((await connection.get('/b'))?.status).toBe(404)
    expect((await connection.get('/extra'))?.status).toBe(404)
  })

  test('by SIGHUP misses no request under way', async () => {
    folder.write('a.mjs', saying('a'))
    await using server = await ServerProcess.start({ mounts: [mount('a')] })
    using connection = await Connection.open(server.port)
    const answers = new Set<string | undefined>()
    for (let round = 1; round <= 5; round++) {
      folder.write('a.mjs', saying(`a${round}`))
      const reloaded = server.log.filter(({ msg }) => msg === 'reloaded').length
      server.signal('SIGHUP')
      while (server.log.filter(({ msg }) => msg === 'reloaded').length === reloaded) {
        const answer = await connection.get('/a')
        expect(answer?.status).toBe(200)
        answers.add(answer?.body)
      }
      expect((await connection.get('/a'))?.body).toBe(`a${round}`)
    }
    expect(answers).toContain('a')
  })

  test.each([
    ['the file is no JSON', () => '{', /x-server\.json:1:2/u],
    [
      'a handler fails where another is good',
      () => ({ mounts: [mount('a'), mount('broken')] }),
      /broken\.mjs: init failed: no database/u,
    ],
    [
      'a handler would end its worker',
      () => ({ mounts: [mount('a'), mount('exit')] }),
      /exit\.mjs: init ends its thread/u,
    ],
    [
      'a setting needs a start',
      () => ({ mounts: [mount('a')], workers: 1, limits: { body: 5 }, timeouts: { drain: 9 } }),
      /workers cannot change in place, from 2 to 1; limits\.body cannot change in place, from nothing to 5: restart/u,
    ],
  ])('changes nothing and ends with 1 when %s', async (_, config, message) => {
    folder.write('a.mjs', saying('a'))
    folder.write('broken.mjs', `export function init() { throw new Error('no database') }\n${saying('x')}`)
    folder.write('exit.mjs', `export function init() { process.exit() }\n${saying('x')}`)
    await using server = await ServerProcess.start({ mounts: [mount('a')] })
    const before = await server.command('mounts', '--json')
    folder.write('a.mjs', saying('A'))
    const next = config()
    if (typeof next === 'string') server.configureText(next)
    else server.configure(next)
    const { code, stdout, stderr } = await server.command('reload')
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toMatch(message)
    const generation = (text: string): unknown =>
      (JSON.parse(text) as { generation: number }[]).map((row) => row.generation)
    expect(generation((await server.command('mounts', '--json')).stdout)).toEqual(generation(before.stdout))
    using connection = await Connection.open(server.port)
    expect((await connection.get('/a'))?.body).toBe('a')
    await server.logged(({ msg }) => msg === 'the reload was refused; everything is as it was')
    server.configure({ mounts: [mount('a')] })
    expect(await server.command('reload')).toMatchObject({ code: 0 })
    expect((await connection.get('/a'))?.body).toBe('A')
  })

  test('a server without a file has nothing to read again', async () => {
    const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url))
    const control = `${folder.path}/c.sock`
    const args = [main, '--port', '0', '--workers', '1', '--control', control]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(createInterface(child.stdout), 'line')
      const { code, stderr } = await run(process.execPath, [main, 'reload', '--control', control])
      expect([code, stderr]).toEqual([
        1,
        'x-server: this server was started without a file to read again; start it with --config\n',
      ])
    } finally {
      child.kill('SIGKILL')
    }
  })
})
