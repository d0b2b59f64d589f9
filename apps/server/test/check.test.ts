import { describe, expect, test } from 'vitest'
import { run, type Outcome } from './program.ts'
import { temporaryFolder, type TemporaryFolder } from './temporary-folder.ts'

const check = (folder: TemporaryFolder, ...args: string[]): Promise<Outcome> =>
  run(['check', ...args], folder.path)

const handle = 'export function handle() {}\n'

describe('x-server check', () => {
  test('runs init and cleanup of every handler, each once, and ends with 0', async () => {
    const folder = temporaryFolder()
    folder.write(
      'a.mjs',
      `import { appendFileSync } from 'node:fs'
      const say = (what) => (ctx) => { console.log(what); appendFileSync(ctx.options.to, what + ctx.mountPath + '\\n') }
      setInterval(() => {}, 1000)
      export const init = say('init'), cleanup = say('cleanup')
      ${handle}`,
    )
    const to = folder.write('steps', '')
    const mounts = ['/a', '/b'].map((prefix) => ({ prefix, module: 'a.mjs', options: { to } }))
    const file = folder.write('x.json', JSON.stringify({ $schema: './x.schema.json', mounts }))
    expect(await check(folder, '--config', 'x.json')).toEqual({
      code: 0,
      out: `${file} is sound.\n`,
      err: expect.stringContaining('init') as string,
    })
    const { readFileSync } = await import('node:fs')
    expect(readFileSync(to, 'utf8')).toBe('init/a\ncleanup/a\ninit/b\ncleanup/b\n')
  })

  test('tells all that is wrong in the file and in the handlers at once, with their places', async () => {
    const folder = temporaryFolder()
    folder.write('init.mjs', `export function init() { throw new Error('no database') }\n${handle}`)
    folder.write('cleanup.mjs', `export async function cleanup() { throw new Error('too late') }\n${handle}`)
    folder.write('exit.mjs', `export function init() { process.exit(0) }\n${handle}`)
    folder.write(
      'later.mjs',
      `export function init() { setTimeout(() => { throw new Error('boo') }); return new Promise(() => {}) }\n${handle}`,
    )
    folder.write('good.mjs', handle)
    const names = ['init', 'cleanup', 'exit', 'later', 'good', 'none']
    const mounts = names.map((name) => ({ prefix: `/${name}`, module: `${name}.mjs` }))
    folder.write('x.json', JSON.stringify({ port: -1, mounts }))
    const { code, out, err } = await check(folder, '--config', 'x.json')
    expect([code, out]).toEqual([1, ''])
    const at = (name: string): string => `${folder.path}/${name}.mjs`
    expect(err).toBe(
      [
        'x-server: x.json: port: -1 is not a port; use 0 to 65535',
        `          x.json: mounts[5].module: "${at('none')}" is missing; name the file of a handler module, or builtin:welcome`,
        `          x.json: mounts[0]: ${at('init')}: init failed: no database`,
        `          x.json: mounts[1]: ${at('cleanup')}: cleanup failed: too late`,
        `          x.json: mounts[2]: ${at('exit')}: init ends its thread; a handler must not call process.exit()`,
        `          x.json: mounts[3]: ${at('later')}: init leaves an error that nobody catches: boo`,
        '',
      ].join('\n'),
    )
  })

  test('--json prints the verdict', async () => {
    const folder = temporaryFolder()
    const file = folder.write('x.json', '{ "wrokers": 2 }')
    const refused = await check(folder, '--config', 'x.json', '--json')
    expect(refused).toMatchObject({ code: 1, err: '' })
    expect(JSON.parse(refused.out)).toEqual({
      sound: false,
      config: file,
      problems: [expect.stringMatching(/^x\.json: wrokers: is not a known key; use host, /u)],
    })
    const { code, out } = await check(folder, '--json')
    expect([code, JSON.parse(out)]).toEqual([0, { sound: true, config: null, problems: [] }])
  })

  test('a wrong use ends with 2', async () => {
    expect(await check(temporaryFolder(), '--port', '1')).toMatchObject({ code: 2, out: '' })
  })
})
