import { isAbsolute, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { UsageError, messageOf } from '../errors.ts'
import { commandNames, isCommandName, type CommandName } from './help.ts'
import { shellWords } from './shell-words.ts'

/** Where and how a restore is to take place. */
export interface Place {
  /** Old and new beginnings of paths. */
  readonly map: readonly (readonly [string, string])[]
  /** Path of a network namespace. */
  readonly networkNamespace: string | undefined
  readonly keepPids: boolean
}

export interface DumpCommand {
  readonly name: 'dump'
  readonly pids: readonly number[]
  readonly images: string
  readonly running: boolean
  readonly external: boolean
  readonly lossy: boolean
  readonly json: boolean
}

export interface ShowCommand {
  readonly name: 'show'
  readonly images: string
  readonly json: boolean
}

export interface CheckCommand {
  readonly name: 'check'
  readonly images: string
  readonly place: Place
  readonly json: boolean
}

export interface PlanCommand {
  readonly name: 'plan'
  readonly images: string
  readonly place: Place
  readonly format: 'text' | 'json' | 'dot' | 'svg'
  readonly all: boolean
}

export interface RestoreCommand {
  readonly name: 'restore'
  readonly images: string
  readonly place: Place
  readonly hold: boolean
  readonly foreground: boolean
  /** By process id in the images: a program and its arguments. */
  readonly programs: ReadonlyMap<number, readonly string[]>
  /** Milliseconds; undefined for the default of the library. */
  readonly timeout: number | undefined
  readonly json: boolean
}

/** A command line, understood. */
export type Command =
  | DumpCommand
  | ShowCommand
  | CheckCommand
  | PlanCommand
  | RestoreCommand
  | { readonly name: 'help'; readonly about: CommandName | undefined }
  | { readonly name: 'version' }

const text = { type: 'string' } as const
const texts = { type: 'string', multiple: true } as const
const flag = { type: 'boolean' } as const
const help = { help: { type: 'boolean', short: 'h' } } as const
const place = { map: texts, netns: text, 'new-pids': flag } as const

/**
 * Understands the arguments after the program's name.
 * @throws {UsageError} when they make no command.
 */
export function parseCommandLine(args: readonly string[]): Command {
  const [first, ...rest] = args
  if (first === undefined) throw new UsageError(`say what to do: ${commandNames.join(', ')}`)
  if (first.startsWith('-')) return parseProgram(args)
  if (first === 'help') return { name: 'help', about: helpTopic(rest) }
  if (!isCommandName(first)) throw new UsageError(`${first} is not a command; use ${commandNames.join(', ')}`)
  return isHelp(rest) ? { name: 'help', about: first } : parsers[first](rest)
}

function parseProgram(args: readonly string[]): Command {
  const { values } = parse(() => parseArgs({ args: [...args], options: { ...help, version: flag } }))
  return values.version === true ? { name: 'version' } : { name: 'help', about: undefined }
}

function helpTopic([topic]: readonly string[]): CommandName | undefined {
  if (topic === undefined || isCommandName(topic)) return topic
  throw new UsageError(`${topic} is not a command; use ${commandNames.join(', ')}`)
}

/** Before anything else is looked at, so that help is there for whoever has not understood the rest. */
function isHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return (end === -1 ? args : args.slice(0, end)).some(
    (argument) => argument === '--help' || argument === '-h',
  )
}

const parsers: Readonly<Record<CommandName, (args: readonly string[]) => Command>> = {
  dump(args) {
    const options = { ...help, images: text, running: flag, external: flag, lossy: flag, json: flag }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    if (positionals.length === 0)
      throw new UsageError('dump takes the ids of processes, as in: dump 81 --images DIR')
    if (values.images === undefined)
      throw new UsageError('dump needs --images DIR, the folder for the images')
    return {
      name: 'dump',
      pids: positionals.map((given) => pidOf('PID', given)),
      images: resolve(values.images),
      running: values.running === true,
      external: values.external === true,
      lossy: values.lossy === true,
      json: values.json === true,
    }
  },
  show(args) {
    const options = { ...help, json: flag }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    return { name: 'show', images: imagesOf('show', positionals), json: values.json === true }
  },
  check(args) {
    const options = { ...help, ...place, json: flag }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    const images = imagesOf('check', positionals)
    return { name: 'check', images, place: placeOf(values), json: values.json === true }
  },
  plan(args) {
    const options = { ...help, ...place, json: flag, dot: flag, svg: flag, all: flag }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    const images = imagesOf('plan', positionals)
    const all = values.all === true
    const formats = (['json', 'dot', 'svg'] as const).filter((format) => values[format] === true)
    const [format = 'text', other] = formats
    if (other !== undefined)
      throw new UsageError(`--${format} and --${other} exclude each other: a plan has one form`)
    if (all && format === 'json') throw new UsageError('--json tells of all anyway: leave --all out')
    return { name: 'plan', images, place: placeOf(values), format, all }
  },
  restore(args) {
    const options = {
      ...help,
      ...place,
      hold: flag,
      foreground: flag,
      exec: texts,
      timeout: text,
      json: flag,
    }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    const images = imagesOf('restore', positionals)
    const programs = programsOf(values.exec ?? [])
    if (values.hold !== true && programs.size === 0) {
      throw new UsageError(
        'say what becomes of the processes: --hold has them wait, --exec PID=CMD has one execute a program',
      )
    }
    return {
      name: 'restore',
      images,
      place: placeOf(values),
      hold: values.hold === true,
      foreground: values.foreground === true,
      programs,
      timeout: values.timeout === undefined ? undefined : millisecondsOf('--timeout', values.timeout),
      json: values.json === true,
    }
  },
}

function imagesOf(command: CommandName, positionals: readonly string[]): string {
  const [images, ...others] = positionals
  if (images === undefined || others.length > 0) {
    throw new UsageError(`${command} takes one folder of images, as in: restorer ${command} DIR`)
  }
  return images
}

interface PlaceValues {
  map?: string[] | undefined
  netns?: string | undefined
  'new-pids'?: boolean | undefined
}

function placeOf(values: PlaceValues): Place {
  const { netns } = values
  if (netns === '') throw new UsageError('--netns takes the name or the path of a network namespace')
  const networkNamespace = netns?.includes('/') === true ? resolve(netns) : netns && `/run/netns/${netns}`
  return { map: mapOf(values.map ?? []), networkNamespace, keepPids: values['new-pids'] !== true }
}

function mapOf(given: readonly string[]): [string, string][] {
  const pairs = given.map((each): [string, string] => {
    const [old, now] = pairOf('--map', each, 'OLD=NEW')
    if (!isAbsolute(old))
      throw new UsageError(`--map ${each}: paths of images begin with a slash, and ${old} does not`)
    return [old, resolve(now)]
  })
  const twice = pairs.find(([old], place) => pairs.findIndex(([other]) => other === old) !== place)
  if (twice !== undefined) throw new UsageError(`--map says twice where ${twice[0]} is`)
  return pairs
}

function programsOf(given: readonly string[]): Map<number, readonly string[]> {
  const programs = new Map<number, readonly string[]>()
  for (const each of given) {
    const [number, command] = pairOf('--exec', each, 'PID=CMD')
    const pid = pidOf('--exec', number)
    if (programs.has(pid)) throw new UsageError(`--exec says twice what becomes of process ${pid}`)
    const words = shellWords(command)
    if (words[0] === undefined || words[0] === '') throw new UsageError(`--exec ${each}: it names no program`)
    programs.set(pid, words)
  }
  return programs
}

function pairOf(option: string, given: string, form: string): [string, string] {
  const at = given.indexOf('=')
  if (at <= 0 || at === given.length - 1)
    throw new UsageError(`${option} takes ${form}, and got ${JSON.stringify(given)}`)
  return [given.slice(0, at), given.slice(at + 1)]
}

function pidOf(option: string, given: string): number {
  const pid = /^[1-9]\d{0,9}$/u.test(given) ? Number(given) : 0
  if (pid > 0 && pid <= 0x7fffffff) return pid
  throw new UsageError(`${option}: ${JSON.stringify(given)} is not the id of a process`)
}

function millisecondsOf(option: string, given: string): number {
  if (/^\d{1,9}$/u.test(given)) return Number(given)
  throw new UsageError(`${option}: ${JSON.stringify(given)} is not a number of milliseconds`)
}

function parse<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error })
  }
}
