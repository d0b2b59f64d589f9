import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test, vi } from 'vitest'
import { defaultControlPath, loadConfig } from '../src/config/config.ts'
import { ConfigError } from '../src/errors.ts'
import { TemporaryFolder } from './temporary-folder.ts'

function folder(): TemporaryFolder {
  const made = new TemporaryFolder()
  onTestFinished(() => {
    made[Symbol.dispose]()
  })
  return made
}

function problemsOf(content: unknown, at: TemporaryFolder = folder()): string[] {
  const file = at.write('x.json', typeof content === 'string' ? content : JSON.stringify(content))
  try {
    loadConfig(file)
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError)
    const { code, problems } = error as ConfigError
    expect(code).toBe('ERR_CONFIG')
    for (const problem of problems) expect(problem.startsWith(file)).toBe(true)
    return problems.map((problem) => problem.slice(file.length))
  }
  return []
}

test('without a file it is the welcome page on port 8080 of this host', () => {
  expect(loadConfig(undefined)).toEqual({
    file: undefined,
    host: '127.0.0.1',
    port: 8080,
    workers: Math.min(availableParallelism(), 8),
    control: defaultControlPath(),
    mounts: [{ prefix: '/', spec: { module: 'builtin:welcome' } }],
    limits: {},
    timeouts: { drain: 30_000, probation: 1000 },
    log: { level: 'info', requests: false },
    batch: 16,
    recycle: 100,
    selfTest: [],
  })
})

test('the control door is in the runtime folder of the user, else in /tmp', () => {
  onTestFinished(() => {
    vi.unstubAllEnvs()
  })
  const name = `x-server-${process.getuid!()}.sock`
  vi.stubEnv('XDG_RUNTIME_DIR', '/run/user/7')
  expect(defaultControlPath()).toBe(`/run/user/7/${name}`)
  vi.stubEnv('XDG_RUNTIME_DIR', undefined)
  expect(defaultControlPath()).toBe(`/tmp/${name}`)
})

test('relative paths are relative to the file', () => {
  const at = folder()
  const module = at.write('conf/handlers/a.js', '')
  at.write('conf/public/index.html', '')
  const mounts = [
    { prefix: '/a', host: 'Example.org', module: 'handlers/a.js', options: { size: 1 } },
    { prefix: '/b', static: 'public', options: { maxAge: 60 } },
  ]
  const file = at.write('conf/x.json', JSON.stringify({ control: 'c.sock', mounts }))
  const config = loadConfig(file)
  expect(config.control).toBe(join(at.path, 'conf/c.sock'))
  expect(config.mounts).toEqual([
    { prefix: '/a', host: 'example.org', spec: { module, options: { size: 1 } } },
    {
      prefix: '/b',
      spec: {
        module: 'builtin:static',
        options: { folder: join(at.path, 'conf/public'), index: 'index.html', maxAge: 60, dotfiles: false },
      },
    },
  ])
})

test('values of the command line win', () => {
  const file = folder().write('x.json', '{ "port": 1, "host": "127.0.0.2", "workers": 3 }')
  const overrides = { port: 0, host: '::1', workers: 1, control: '/tmp/c' }
  expect(loadConfig(file, overrides)).toMatchObject(overrides)
})

test.each([
  [{ port: 99_999 }, ': port: 99999 is not a port; use 0 to 65535'],
  [{ port: '80' }, ': port: "80" is not a port; use 0 to 65535'],
  [{ port: 80.5 }, ': port: 80.5 is not a port; use 0 to 65535'],
  [
    { host: 'localhost' },
    ': host: "localhost" is not an IP address; write one such as "127.0.0.1", "0.0.0.0" or "::"',
  ],
  [{ workers: 0 }, ': workers: 0 is not a number of workers; use 1 to 64'],
  [{ selfTest: ['a b'] }, ': selfTest[0]: "a b" is not a path; begin it with / and encode it'],
  [{ batch: 0 }, ': batch: 0 is not a batch size; use 1 to 256'],
  [{ recycle: -1 }, ': recycle: -1 is not a number of handlers; use 0 to 9007199254740991'],
  [
    { log: { level: 'loud' } },
    ': log.level: "loud" is not a log level; use trace, debug, info, warn, error, fatal, silent',
  ],
  [{ timeouts: { drain: 0 } }, ': timeouts.drain: 0 is not a time in milliseconds; use 1 to 2147483647'],
  [
    { limits: { heads: 1 } },
    ': limits.heads: is not a known key; use connections, connectionsPerAddress, requestsPerConnection, head, requestTarget, headers, body, bodyRate, chunkExtensions, drain',
  ],
  [{ mounts: {} }, ': mounts: {} is not a list of mounts; write [ { … } ]'],
  [{ mounts: [{ module: 'builtin:welcome' }] }, ': mounts[0].prefix: is missing; add it'],
  [{ mounts: [{ prefix: '/' }] }, ': mounts[0]: needs either "module" or "static"; give exactly one of them'],
  [
    { mounts: [{ prefix: 'a', module: 'builtin:welcome' }] },
    ': mounts[0].prefix: "a" is not a path prefix; start it with a slash, as in "/a"',
  ],
  [
    { mounts: [{ prefix: '/', host: 'a:80', module: 'builtin:welcome' }] },
    ': mounts[0].host: "a:80" is not a host name; write it without a port, as in "example.org"',
  ],
  [
    {
      mounts: [
        { prefix: '/a', module: 'builtin:welcome' },
        { prefix: '/a', module: 'builtin:welcome' },
      ],
    },
    ': mounts[1].prefix: "/a" is mounted by mounts[0] already; remove one of the two',
  ],
])('%j is refused with a remedy', (content, problem) => {
  expect(problemsOf(content)).toEqual([problem])
})

test('files that are missing or of another kind are refused', () => {
  const at = folder()
  at.write('file', '')
  const problems = problemsOf(
    {
      mounts: [
        { prefix: '/a', module: 'absent.js' },
        { prefix: '/b', static: 'file' },
        { prefix: '/c', module: '.' },
        { prefix: '/d', static: '.', options: { maxage: 1, index: '' } },
      ],
    },
    at,
  )
  expect(problems).toEqual([
    `: mounts[0].module: "${at.path}/absent.js" is missing; name the file of a handler module, or builtin:welcome`,
    `: mounts[1].static: "${at.path}/file" is a file; name the folder whose files to serve`,
    `: mounts[2].module: "${at.path}" is a folder; name the file of a handler module, or builtin:welcome`,
    ': mounts[3].options.index: "" is not the name of a file; write a text',
    ': mounts[3].options.maxage: is not a known key; use index, maxAge, dotfiles',
  ])
})

test('all problems are listed at once', () => {
  const problems = problemsOf({ port: -1, prot: 80, hots: 'x', log: { level: 1, levle: 2 }, workers: true })
  expect(problems.map((problem) => problem.split(': ')[1])).toEqual([
    'port',
    'workers',
    'log.level',
    'log.levle',
    'prot',
    'hots',
  ])
})

test('the longest path of a control door has 107 bytes', () => {
  expect(problemsOf({ control: `/${'x'.repeat(106)}` })).toEqual([])
  const [problem] = problemsOf({ control: `/${'x'.repeat(107)}` })
  expect(problem).toMatch(/^: control: .* has more than 107 bytes/u)
})

test('an error of syntax names its line and column', () => {
  expect(problemsOf('{\n  "port": 80,\n}')).toEqual([
    ':3:1: "}" cannot stand here; write JSON (no comments, no comma before a closing bracket)',
  ])
})

test('what is not an object is refused', () => {
  expect(problemsOf('[]')).toHaveLength(1)
  expect(problemsOf('3')[0]).toMatch(/3 is not an object/u)
})

test('a file that cannot be read is refused', () => {
  const at = folder()
  expect(() => loadConfig(join(at.path, 'absent.json'))).toThrow(/absent\.json: there is no such file/u)
  expect(() => loadConfig(at.path)).toThrow(/cannot be read/u)
})

test('a byte order mark is not an error', () => {
  expect(problemsOf('\uFEFF{}')).toEqual([])
})
