import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { parseCommandLine } from '../src/command-line/command-line.ts'
import { UsageError } from '../src/errors.ts'
import { commandNames, helpText } from '../src/command-line/help.ts'

const nowhere = { control: undefined, config: undefined, json: false }

test('without a command it runs', () => {
  expect(parseCommandLine([])).toEqual({
    name: 'run',
    config: undefined,
    overrides: {},
    check: false,
    takeOver: false,
  })
  const args = '--config a.json --host ::1 --port 0 --workers 2 --control c.sock --check'.split(' ')
  expect(parseCommandLine(args)).toEqual({
    name: 'run',
    config: 'a.json',
    overrides: { host: '::1', port: 0, workers: 2, control: resolve('c.sock') },
    check: true,
    takeOver: false,
  })
})

test('questions to a running server', () => {
  expect(parseCommandLine(['mounts'])).toEqual({ name: 'mounts', ...nowhere })
  expect(parseCommandLine(['health', '--json'])).toEqual({ name: 'health', ...nowhere, json: true })
  expect(parseCommandLine(['metrics', '--control', '/c'])).toEqual({
    name: 'metrics',
    control: '/c',
    config: undefined,
  })
  expect(parseCommandLine(['status', '--json', '--control', '/c', '--config', 'x'])).toEqual({
    name: 'status',
    control: '/c',
    config: 'x',
    json: true,
  })
})

test('mount and replace take a module or a folder', () => {
  expect(parseCommandLine(['mount', '/a', '--module', 'h.js', '--options', '{"a":1}'])).toEqual({
    name: 'mount',
    place: { prefix: '/a' },
    spec: { module: resolve('h.js'), options: { a: 1 } },
    ...nowhere,
  })
  expect(parseCommandLine(['mount', '--module', 'builtin:welcome', '/'])).toMatchObject({
    spec: { module: 'builtin:welcome' },
  })
  expect(
    parseCommandLine([
      'replace',
      '/a',
      '--static',
      'd',
      '--host',
      'A.org',
      '--deadline',
      '50',
      '--options',
      '{"maxAge":9}',
    ]),
  ).toEqual({
    name: 'replace',
    place: { prefix: '/a', host: 'a.org' },
    spec: {
      module: 'builtin:static',
      options: { folder: resolve('d'), index: 'index.html', maxAge: 9, dotfiles: false },
    },
    deadline: 50,
    ...nowhere,
  })
})

test('unmount takes a place and a deadline', () => {
  expect(parseCommandLine(['unmount', '/a', '--host', 'b', '--deadline', '1000'])).toEqual({
    name: 'unmount',
    place: { prefix: '/a', host: 'b' },
    deadline: 1000,
    ...nowhere,
  })
})

test.each(['mounts', 'mount', 'replace', 'unmount', 'status', 'health', 'metrics'])('%s --help', (name) => {
  expect(parseCommandLine([name, '--help'])).toEqual({ name: 'help', about: name })
  expect(parseCommandLine([name, '-h'])).toEqual({ name: 'help', about: name })
  expect(parseCommandLine(['help', name])).toEqual({ name: 'help', about: name })
})

test('--help and --version', () => {
  expect(parseCommandLine(['--help'])).toEqual({ name: 'help', about: 'run' })
  expect(parseCommandLine(['help'])).toEqual({ name: 'help', about: 'run' })
  expect(parseCommandLine(['--version'])).toEqual({ name: 'version' })
})

test('help tells the exit codes', () => {
  for (const name of commandNames)
    expect(helpText(name)).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 /u)
})

test.each([
  ['start', 'start is not a command; use'],
  ['toString', 'toString is not a command'],
  ['help toString', 'toString is not a command'],
  ['--prot 80', "Unknown option '--prot'"],
  ['--port 99999', '--port: 99999 is not a port; use 0 to 65535'],
  ['--port 8o', '--port: "8o" is not a port'],
  ['--port', "'--port <value>' argument missing"],
  ['--workers 0', '--workers: 0 is not a number of workers'],
  ['--host example.org', '--host: "example.org" is not an IP address'],
  [`--control ${'x'.repeat(200)}`, '--control: '],
  ['--check extra', 'extra'],
  ['mounts extra', 'extra'],
  ['metrics --json', "Unknown option '--json'"],
  ['mount --module a.js', 'mount takes one PREFIX'],
  ['mount /a /b --module a.js', 'mount takes one PREFIX'],
  ['mount a --module a.js', 'PREFIX: "a" is not a path prefix'],
  ['mount /a', 'mount needs either --module FILE or --static DIR'],
  ['mount /a --module a.js --static b', 'mount needs either --module FILE or --static DIR'],
  ['mount /a --module a.js --options {', '--options: this is not JSON'],
  ['mount /a --static . --options {"maxage":1}', '--options: maxage: is not a known key'],
  ['unmount /a --deadline soon', '--deadline: "soon" is not a deadline'],
  ['unmount /a --module a.js', "Unknown option '--module'"],
])('%s is a wrong use', (line, message) => {
  const parse = (): unknown => parseCommandLine(line.split(' '))
  expect(parse).toThrow(UsageError)
  expect(parse).toThrow(message)
})
