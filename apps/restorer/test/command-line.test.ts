import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseCommandLine } from '../src/command-line/command-line.ts'
import { commandNames, helpText } from '../src/command-line/help.ts'
import { UsageError } from '../src/errors.ts'

const here = { map: [], networkNamespace: undefined, keepPids: true }

test('dump takes processes and a folder', () => {
  expect(parseCommandLine('dump 81 82 --images d --lossy'.split(' '))).toEqual({
    name: 'dump',
    pids: [81, 82],
    images: resolve('d'),
    running: false,
    external: false,
    lossy: true,
    json: false,
  })
})

test('show, check and plan take images', () => {
  expect(parseCommandLine(['show', 'd', '--json'])).toEqual({ name: 'show', images: 'd', json: true })
  expect(parseCommandLine(['check', 'd'])).toEqual({ name: 'check', images: 'd', place: here, json: false })
  expect(parseCommandLine(['plan', 'd', '--svg', '--all'])).toEqual({
    name: 'plan',
    images: 'd',
    place: here,
    format: 'svg',
    all: true,
  })
})

test('where a restore takes place: paths, a network namespace by name or path, new process ids', () => {
  const args = 'check d --map /a=/b --map /a/c=e --netns blue --new-pids'.split(' ')
  expect(parseCommandLine(args)).toMatchObject({
    place: {
      map: [
        ['/a', '/b'],
        ['/a/c', resolve('e')],
      ],
      networkNamespace: '/run/netns/blue',
      keepPids: false,
    },
  })
  expect(parseCommandLine(['check', 'd', '--netns', '/proc/1/ns/net'])).toMatchObject({
    place: { networkNamespace: '/proc/1/ns/net' },
  })
})

test('restore takes what becomes of the processes', () => {
  const args = [
    'restore',
    'd',
    '--exec',
    "81=sh -c 'exit 1'",
    '--exec',
    '82=cat',
    '--timeout',
    '500',
    '--foreground',
  ]
  expect(parseCommandLine(args)).toEqual({
    name: 'restore',
    images: 'd',
    place: here,
    hold: false,
    foreground: true,
    programs: new Map([
      [81, ['sh', '-c', 'exit 1']],
      [82, ['cat']],
    ]),
    timeout: 500,
    json: false,
  })
})

describe('help', () => {
  test.each(commandNames)('%s', (name) => {
    expect(parseCommandLine([name, '--help'])).toEqual({ name: 'help', about: name })
    // Also where something else is wrong.
    expect(parseCommandLine([name, '--nonsense', '-h'])).toEqual({ name: 'help', about: name })
    expect(parseCommandLine(['help', name])).toEqual({ name: 'help', about: name })
    expect(helpText(name)).toMatch(/Exit codes:\n {2}0 .*\n {2}1 .*\n {2}2 .*\n {2}3 .*\n {2}4 /u)
  })

  test('of all, and the version', () => {
    expect(parseCommandLine(['--help'])).toEqual({ name: 'help', about: undefined })
    expect(parseCommandLine(['help'])).toEqual({ name: 'help', about: undefined })
    expect(parseCommandLine(['--version'])).toEqual({ name: 'version' })
  })
})

test.each([
  [[], 'say what to do: dump, show, check, plan, restore'],
  [['run'], 'run is not a command; use dump'],
  [['help', 'toString'], 'toString is not a command'],
  [['show'], 'show takes one folder of images'],
  [['show', 'a', 'b'], 'show takes one folder of images'],
  [['show', 'a', '--dot'], "Unknown option '--dot'"],
  [['plan', 'a', '--dot', '--svg'], '--dot and --svg exclude each other'],
  [['plan', 'a', '--json', '--all'], '--json tells of all anyway'],
  [['check', 'a', '--map', '/a'], '--map takes OLD=NEW, and got "/a"'],
  [['check', 'a', '--map', 'a=/b'], 'paths of images begin with a slash'],
  [['check', 'a', '--map', '/a=/b', '--map', '/a=/c'], '--map says twice where /a is'],
  [['check', 'a', '--netns', ''], '--netns takes the name or the path'],
  [['check', 'a', '--hold'], "Unknown option '--hold'"],
  [['dump', '--images', 'd'], 'dump takes the ids of processes'],
  [['dump', '81'], 'dump needs --images DIR'],
  [['dump', '0', '--images', 'd'], 'PID: "0" is not the id of a process'],
  [['dump', '1.5', '--images', 'd'], 'PID: "1.5" is not the id of a process'],
  [['restore', 'a'], 'say what becomes of the processes: --hold has them wait'],
  [['restore', 'a', '--foreground'], 'say what becomes of the processes'],
  [['restore', 'a', '--exec', '81'], '--exec takes PID=CMD'],
  [['restore', 'a', '--exec', 'x=cat'], '--exec: "x" is not the id of a process'],
  [['restore', 'a', '--exec', '81= '], '--exec 81= : it names no program'],
  [['restore', 'a', '--exec', '81=a', '--exec', '81=b'], '--exec says twice what becomes of process 81'],
  [['restore', 'a', '--hold', '--timeout', '1s'], '--timeout: "1s" is not a number of milliseconds'],
] as [string[], string][])('%j is a wrong use', (args, message) => {
  const parse = (): unknown => parseCommandLine(args)
  expect(parse).toThrow(UsageError)
  expect(parse).toThrow(message)
})
