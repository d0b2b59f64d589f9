import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ControlServer } from '../src/control/control-server.ts'
import { helpText } from '../src/command-line/help.ts'
import { main, run } from './program.ts'
import { TableControl } from './table-control.ts'
import { temporaryFolder, TemporaryFolder } from './temporary-folder.ts'

describe('the command line', () => {
  test('--help and --version', async () => {
    expect(await run(['--help'])).toEqual({ code: 0, out: helpText('run'), err: '' })
    expect(await run(['unmount', '--help'])).toEqual({ code: 0, out: helpText('unmount'), err: '' })
    const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
    const { version } = JSON.parse(manifest) as { version: string }
    expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' })
  })

  test('a wrong use ends with 2', async () => {
    expect(await run(['--port', '99999'])).toEqual({
      code: 2,
      out: '',
      err: 'x-server: --port: 99999 is not a port; use 0 to 65535\nRun `x-server --help` for what there is.\n',
    })
  })

  test('a command without a server ends with 3', async () => {
    const path = join(temporaryFolder().path, 'control.sock')
    for (const args of [
      ['mounts'],
      ['status'],
      ['health'],
      ['metrics'],
      ['unmount', '/a'],
      ['mount', '/a', '--module', 'builtin:welcome'],
    ]) {
      expect(await run([...args, '--control', path])).toEqual({
        code: 3,
        out: '',
        err: `x-server: no server listens at ${path}; start one, or name its socket with --control\n`,
      })
    }
  })
})

describe('a configuration', () => {
  test('that is wrong is refused in one block with all its problems', async () => {
    const folder = temporaryFolder()
    folder.write(
      'bad.json',
      '{ "port": 99999, "wrokers": 2, "mounts": [{ "prefix": "/a", "module": "gone.js" }] }',
    )
    expect(await run(['--config', 'bad.json'], folder.path)).toEqual({
      code: 1,
      out: '',
      err: [
        'x-server: bad.json: port: 99999 is not a port; use 0 to 65535',
        `          bad.json: mounts[0].module: "${folder.path}/gone.js" is missing; name the file of a handler module, or builtin:welcome`,
        '          bad.json: wrokers: is not a known key; use host, port, workers, control, mounts, limits, timeouts, log, batch, recycle, selfTest',
        '',
      ].join('\n'),
    })
  })

  test('with an error of syntax is refused with the place', async () => {
    const folder = temporaryFolder()
    folder.write('bad.json', '{\n  "port": 80,\n}\n')
    const { code, err } = await run(['--config', 'bad.json', '--check'], folder.path)
    expect(code).toBe(1)
    expect(err).toMatch(/^x-server: bad\.json:3:1: "\}" cannot stand here; write JSON/u)
  })

  test('whose handlers are broken is refused before anything listens', async () => {
    const folder = temporaryFolder()
    folder.write('a %?#.mjs', 'export function handle( {')
    folder.write('b.mjs', 'export default function () {}')
    const mounts = [
      { prefix: '/a', module: 'a %?#.mjs' },
      { prefix: '/b', module: 'b.mjs' },
    ]
    folder.write('x.json', JSON.stringify({ control: 'c.sock', mounts }))
    const { code, err } = await run(['--config', 'x.json'], folder.path)
    expect(code).toBe(1)
    expect(err.split('\n')).toEqual([
      expect.stringMatching(
        /^x-server: mount \/a: .*a %\?#\.mjs: is not a JavaScript module \(Unexpected end of input\); `node --check/u,
      ),
      expect.stringMatching(/^ {10}mount \/b: .*b\.mjs: has a default export and no `handle`/u),
      '',
    ])
    expect(existsSync(join(folder.path, 'c.sock'))).toBe(false)
  })

  test('that is sound passes --check, which ends even if a handler started a timer', async () => {
    const folder = temporaryFolder()
    folder.write('a %?#.mjs', 'setInterval(() => {}, 1000)\nexport function handle() {}')
    const file = folder.write('x.json', JSON.stringify({ mounts: [{ prefix: '/', module: 'a %?#.mjs' }] }))
    expect(await run(['--check', '--config', file])).toEqual({ code: 0, out: `${file} is sound.\n`, err: '' })
  })

  test('of the examples is sound', async () => {
    const file = fileURLToPath(new URL('../examples/x-server.json', import.meta.url))
    expect(await run(['--check', '--config', file])).toMatchObject({ code: 0, err: '' })
  })
})

describe('commands to a server', () => {
  async function start(): Promise<{ control: TableControl; path: string; folder: TemporaryFolder }> {
    const folder = temporaryFolder()
    const path = join(folder.path, 'control.sock')
    const control = new TableControl()
    const server = await ControlServer.listen(path, control)
    onTestFinished(async () => {
      await server.close()
      control[Symbol.dispose]()
    })
    return { control, path, folder }
  }

  test('mount, mounts, replace and unmount in words', async () => {
    const { path, folder } = await start()
    folder.write('h.mjs', 'export function handle() {}')
    const to = ['--control', path]
    expect(await run(['mounts', ...to])).toEqual({ code: 0, out: 'Nothing is mounted.\n', err: '' })
    const mounted = await run(['mount', '/a', '--host', 'b.org', '--module', 'h.mjs', ...to], folder.path)
    expect(mounted).toEqual({
      code: 0,
      out: expect.stringMatching(/^Mounted \/.*h\.mjs on b\.org\/a, generation \d+\.\n$/u) as string,
      err: '',
    })
    const { out } = await run(['mounts', ...to])
    expect(out.split('\n')).toEqual([
      expect.stringMatching(/^PREFIX +HOST +STATE +SINCE +GENERATION +REFERENCES +SERVED +MODULE$/u),
      expect.stringMatching(/^\/a +b\.org +active +\d+ s +\d+ +0 +0 +\/.*h\.mjs$/u),
      '',
    ])
    const replaced = await run(['replace', '/a', '--host', 'b.org', '--static', '.', ...to], folder.path)
    expect(replaced.out).toMatch(
      /^Replaced b\.org\/a by builtin:static, generation \d+; the old one has drained\.\n$/u,
    )
    expect(await run(['unmount', '/a', '--host', 'b.org', ...to])).toEqual({
      code: 0,
      out: 'Unmounted b.org/a; it has drained.\n',
      err: '',
    })
  })

  test('status in words', async () => {
    const { path } = await start()
    const { out } = await run(['status', '--control', path])
    expect(out.split('\n')).toEqual([
      `server         x-server 1.2.3, process id ${process.pid}, running`,
      'listens at     127.0.0.1 port 8080',
      expect.stringMatching(/^runs for {7}1 min 3\d s$/u),
      'configuration  built-in',
      'connections    2',
      'bytes in       7',
      '',
      'WORKER  REQUESTS  2XX',
      '     1         3    2',
      '     2         4    0',
      '',
    ])
  })

  test('health in words, as JSON, and by the exit code', async () => {
    const { control, path } = await start()
    const to = ['--control', path]
    expect(await run(['health', ...to])).toEqual({
      code: 1,
      out: 'Not ready: draining, 1 worker serves.\n',
      err: '',
    })
    control.ready = true
    expect(await run(['health', ...to])).toEqual({
      code: 0,
      out: 'Ready: running, 1 worker serves.\n',
      err: '',
    })
    const { code, out } = await run(['health', ...to, '--json'])
    expect([code, JSON.parse(out)]).toEqual([0, control.health()])
  })

  test('metrics as Prometheus reads them', async () => {
    const { control, path } = await start()
    expect(await run(['metrics', '--control', path])).toEqual({ code: 0, out: control.metrics(), err: '' })
  })

  test('--json prints JSON, and --config names the door', async () => {
    const { control, path, folder } = await start()
    const config = folder.write('x.json', JSON.stringify({ control: 'control.sock' }))
    const mount = await run(['mount', '/a', '--module', 'builtin:welcome', '--control', path, '--json'])
    expect(JSON.parse(mount.out)).toEqual(control.mounts()[0])
    expect(JSON.parse((await run(['mounts', '--config', config, '--json'])).out)).toEqual(control.mounts())
    expect(JSON.parse((await run(['status', '--config', config, '--json'])).out)).toMatchObject({
      version: '1.2.3',
    })
  })

  test('what the server refuses ends with 1', async () => {
    const { path } = await start()
    const { code, out, err } = await run(['unmount', '/absent', '--control', path])
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('nothing is mounted at /absent')
  })

  test('unmount waits for the requests in progress, and names who holds it at the deadline', async () => {
    const { control, path } = await start()
    await control.mount({ prefix: '/a', spec: { module: 'builtin:welcome' } })
    const lease = control.hold('/a')
    const late = await run(['unmount', '/a', '--deadline', '50', '--control', path])
    expect(late).toMatchObject({ code: 1, err: expect.stringContaining('member 0 holds 1') as string })
    lease.release()
  })

  test.skipIf(!hasScript())('on a terminal the drain is shown (needs script(1) for a terminal)', async () => {
    const { control, path } = await start()
    await control.mount({ prefix: '/a', spec: { module: 'builtin:welcome' } })
    const lease = control.hold('/a')
    const line = `${process.execPath} ${main} unmount /a --control ${path}`
    const child = spawn('script', ['-qec', line, '/dev/null'], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exit = once(child, 'exit')
    let shown = ''
    let released = false
    for await (const chunk of child.stdout.setEncoding('utf8') as AsyncIterable<string>) {
      shown += chunk
      if (released || !shown.includes('/a drains: generation')) continue
      lease.release()
      released = true
    }
    expect(shown).toContain('is held by 1 request')
    expect(shown).toContain('Unmounted /a; it has drained.')
    expect(await exit).toEqual([0, null])
  })
})

function hasScript(): boolean {
  try {
    execFileSync('script', ['--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
