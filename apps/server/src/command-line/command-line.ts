import { isAbsolute, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import * as v from 'valibot'
import { addressSchema, controlPathSchema, portSchema, workersSchema } from '../config/config.ts'
import type { ConfigOverrides } from '../config/config.ts'
import { deadlineSchema } from '../control/control-protocol.ts'
import { UsageError, messageOf } from '../errors.ts'
import type { MountSpec } from '../handler.ts'
import { staticFilesSettings } from '../config/static-files-options.ts'
import { commandNames, isCommandName } from './help.ts'
import type { CommandName } from './help.ts'
import { hostSchema, prefixSchema } from '../config/mount-name.ts'
import { issueLines } from '../config/strict-object.ts'

/** Which server a command is for, and how to print. */
export interface Target {
  control: string | undefined
  config: string | undefined
  json: boolean
}

export interface Place {
  prefix: string
  host?: string
}

/** Commands that have a target only. */
type Question = 'mounts' | 'status' | 'health' | 'reload'

/** A command line, understood. */
export type Command =
  | {
      name: 'run'
      config: string | undefined
      overrides: ConfigOverrides
      check: boolean
      takeOver: boolean
    }
  | { name: 'check'; config: string | undefined; json: boolean }
  | { name: 'help'; about: CommandName }
  | { name: 'version' }
  | ({ name: Question } & Target)
  | ({ name: 'metrics' } & Omit<Target, 'json'>)
  | ({ name: 'restart'; wait: boolean } & Target)
  | ({ name: 'mount'; place: Place; spec: MountSpec } & Target)
  | ({ name: 'replace'; place: Place; spec: MountSpec; deadline: number | undefined } & Target)
  | ({ name: 'unmount'; place: Place; deadline: number | undefined } & Target)

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const help = { help: { type: 'boolean', short: 'h' } } as const
const target = { ...help, control: text, config: text, json: flag }
const handler = { module: text, static: text, host: text, options: text }

/**
 * Understands the arguments after the program's name. Relative paths are relative to the working directory.
 * @throws {UsageError} when they make no command.
 */
export function parseCommandLine(args: readonly string[]): Command {
  const [first, ...rest] = args
  if (first === undefined || first.startsWith('-')) return parseRun(args)
  if (first === 'help') return { name: 'help', about: helpTopic(rest) }
  if (!isCommandName(first) || first === 'run') {
    throw new UsageError(
      `${first} is not a command; use ${commandNames.join(', ')}, or no command to run the server`,
    )
  }
  return controlParsers[first](rest)
}

function helpTopic(rest: readonly string[]): CommandName {
  const topic = rest[0] ?? 'run'
  if (!isCommandName(topic)) throw new UsageError(`${topic} is not a command; use ${commandNames.join(', ')}`)
  return topic
}

function parseRun(args: readonly string[]): Command {
  const options = {
    ...help,
    version: flag,
    check: flag,
    'take-over': flag,
    config: text,
    control: text,
    host: text,
    port: text,
    workers: text,
  } as const
  const { values } = parse(() => parseArgs({ args: [...args], options }))
  if (values.help === true) return { name: 'help', about: 'run' }
  if (values.version === true) return { name: 'version' }
  const overrides: ConfigOverrides = {}
  if (values.host !== undefined) overrides.host = take('--host', addressSchema, values.host)
  if (values.port !== undefined) overrides.port = take('--port', portSchema, numeral(values.port))
  if (values.workers !== undefined)
    overrides.workers = take('--workers', workersSchema, numeral(values.workers))
  if (values.control !== undefined) overrides.control = controlPath(values.control)
  const takeOver = values['take-over'] === true
  return { name: 'run', config: values.config, overrides, check: values.check === true, takeOver }
}

const controlParsers: Readonly<Record<Exclude<CommandName, 'run'>, (args: readonly string[]) => Command>> = {
  check(args) {
    const { values } = parse(() =>
      parseArgs({ args: [...args], options: { ...help, config: text, json: flag } }),
    )
    if (values.help === true) return { name: 'help', about: 'check' }
    return { name: 'check', config: values.config, json: values.json === true }
  },
  mounts: (args) => parseQuestion('mounts', args),
  status: (args) => parseQuestion('status', args),
  health: (args) => parseQuestion('health', args),
  metrics(args) {
    const options = { ...help, control: text, config: text }
    const { values } = parse(() => parseArgs({ args: [...args], options }))
    if (values.help === true) return { name: 'help', about: 'metrics' }
    const { control, config } = parseTarget(values)
    return { name: 'metrics', control, config }
  },
  restart(args) {
    const options = { ...target, wait: flag }
    const { values } = parse(() => parseArgs({ args: [...args], options }))
    if (values.help === true) return { name: 'help', about: 'restart' }
    return { name: 'restart', wait: values.wait === true, ...parseTarget(values) }
  },
  reload: (args) => parseQuestion('reload', args),
  mount(args) {
    const options = { ...target, ...handler }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    if (values.help === true) return { name: 'help', about: 'mount' }
    const place = parsePlace('mount', positionals, values.host)
    return { name: 'mount', place, spec: parseSpec('mount', values), ...parseTarget(values) }
  },
  replace(args) {
    const options = { ...target, ...handler, deadline: text }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    if (values.help === true) return { name: 'help', about: 'replace' }
    const place = parsePlace('replace', positionals, values.host)
    const deadline = parseDeadline(values.deadline)
    return { name: 'replace', place, spec: parseSpec('replace', values), deadline, ...parseTarget(values) }
  },
  unmount(args) {
    const options = { ...target, host: text, deadline: text }
    const { values, positionals } = parse(() =>
      parseArgs({ args: [...args], options, allowPositionals: true }),
    )
    if (values.help === true) return { name: 'help', about: 'unmount' }
    const place = parsePlace('unmount', positionals, values.host)
    return { name: 'unmount', place, deadline: parseDeadline(values.deadline), ...parseTarget(values) }
  },
}

function parseQuestion(name: Question, args: readonly string[]): Command {
  const { values } = parse(() => parseArgs({ args: [...args], options: target }))
  if (values.help === true) return { name: 'help', about: name }
  return { name, ...parseTarget(values) }
}

interface TargetValues {
  control?: string | undefined
  config?: string | undefined
  json?: boolean | undefined
}

function parseTarget(values: TargetValues): Target {
  const control = values.control === undefined ? undefined : controlPath(values.control)
  return { control, config: values.config, json: values.json === true }
}

function parsePlace(command: CommandName, positionals: readonly string[], host: string | undefined): Place {
  const [given, ...others] = positionals
  if (given === undefined || others.length > 0) {
    throw new UsageError(`${command} takes one PREFIX, as in: x-server ${command} /api`)
  }
  const prefix = take('PREFIX', prefixSchema, given)
  return host === undefined ? { prefix } : { prefix, host: take('--host', hostSchema, host) }
}

interface HandlerValues {
  module?: string | undefined
  static?: string | undefined
  options?: string | undefined
}

function parseSpec(command: CommandName, values: HandlerValues): MountSpec {
  const options = values.options === undefined ? undefined : parseJson('--options', values.options)
  if (values.module !== undefined && values.static === undefined) {
    const isPath = !values.module.startsWith('builtin:') && !isAbsolute(values.module)
    const module = isPath ? resolve(values.module) : values.module
    return options === undefined ? { module } : { module, options }
  }
  if (values.static === undefined || values.module !== undefined) {
    throw new UsageError(`${command} needs either --module FILE or --static DIR`)
  }
  const settings = take('--options', staticFilesSettings, options ?? {})
  return { module: 'builtin:static', options: { ...settings, folder: resolve(values.static) } }
}

function parseDeadline(value: string | undefined): number | undefined {
  return value === undefined ? undefined : take('--deadline', deadlineSchema, numeral(value))
}

function controlPath(value: string): string {
  return take('--control', controlPathSchema(process.cwd()), value)
}

function take<T>(option: string, schema: v.GenericSchema<unknown, T>, value: unknown): T {
  const parsed = v.safeParse(schema, value)
  if (!parsed.success)
    throw new UsageError(
      issueLines(parsed.issues)
        .map((line) => `${option}: ${line}`)
        .join('\n'),
    )
  return parsed.output
}

/** A number if the text is one, else the text itself for the schema to refuse. */
function numeral(value: string): unknown {
  return /^\d{1,15}$/u.test(value) ? Number(value) : value
}

function parseJson(option: string, value: string): unknown {
  try {
    return JSON.parse(value)
  } catch (error) {
    throw new UsageError(`${option}: this is not JSON: ${messageOf(error)}`, { cause: error })
  }
}

function parse<T>(run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error })
  }
}
