import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { dirname, relative, resolve } from 'node:path'
import type { Limits, Timeouts } from '@x/http1'
import * as v from 'valibot'
import { ConfigError, codeOf, messageOf } from '../errors.ts'
import type { MountSpec } from '../handler.ts'
import { staticFilesSettings } from './static-files-options.ts'
import { findJsonSyntaxProblem } from './json-syntax.ts'
import { hostSchema, mountName, prefixSchema } from './mount-name.ts'
import { issueLines, show, strictObject, text, wholeNumber } from './strict-object.ts'

/** Bytes of `sun_path` that a name may take: 108 less the terminating NUL (unix(7)). */
const longestSocketPath = 107
const longestTimeout = 2 ** 31 - 1

export const portSchema: v.GenericSchema<unknown, number> = wholeNumber('a port', 0, 65_535)
export const workersSchema: v.GenericSchema<unknown, number> = wholeNumber('a number of workers', 1, 64)

/** Where to listen: an address, because a name may stand for several. */
export const addressSchema: v.GenericSchema<unknown, string> = v.pipe(
  text('an address'),
  v.check(
    (host) => isIP(host) !== 0,
    (issue) => `${show(issue.input)} is not an IP address; write one such as "127.0.0.1", "0.0.0.0" or "::"`,
  ),
)

const milliseconds = wholeNumber('a time in milliseconds', 1, longestTimeout)
const bytes = wholeNumber('a number of bytes', 1, Number.MAX_SAFE_INTEGER)

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Milliseconds; each of http1's that is left out is http1's default. */
export interface ConfigTimeouts extends Partial<Timeouts> {
  /** How long a stop or an unmount waits for requests in progress. */
  drain: number
}

export interface ConfigMount {
  prefix: string
  host?: string
  spec: MountSpec
}

export interface Config {
  /** The file that was read; undefined when the configuration is the built-in one. */
  file: string | undefined
  host: string
  /** 0 has the kernel choose. */
  port: number
  workers: number
  /** Absolute path of the control socket. */
  control: string
  mounts: ConfigMount[]
  /** Each that is left out is http1's default. */
  limits: Partial<Limits>
  timeouts: ConfigTimeouts
  log: { level: LogLevel }
  /** Most requests that a worker takes at a time. */
  batch: number
}

/** Values of the command line, which win over the file's. */
export type ConfigOverrides = Partial<Pick<Config, 'host' | 'port' | 'workers' | 'control'>>

/**
 * Reads, completes and checks a configuration. Relative paths in it are relative to its file.
 * @throws {ConfigError} with every problem found, each with its file, key and remedy.
 */
export function loadConfig(file: string | undefined, overrides: ConfigOverrides = {}): Config {
  const path = file === undefined ? undefined : resolve(file)
  const raw = path === undefined ? {} : readJson(path)
  const base = path === undefined ? process.cwd() : dirname(path)
  const result = v.safeParse(configSchema(base), raw)
  if (!result.success) {
    const name = path === undefined ? 'built-in configuration' : displayName(path)
    throw new ConfigError(issueLines(result.issues).map((line) => `${name}: ${line}`))
  }
  return { file: path, ...result.output, ...overrides }
}

/** The control socket's path when nobody names one: in the user's runtime folder, else in /tmp. */
export function defaultControlPath(): string {
  const folder = process.env.XDG_RUNTIME_DIR
  const uid = process.getuid?.() ?? 0
  return resolve(folder === undefined || folder === '' ? '/tmp' : folder, `x-server-${uid}.sock`)
}

/** Refuses what bind(2) could not take as the name of a socket. */
export function controlPathSchema(base: string): v.GenericSchema<unknown, string> {
  return v.pipe(
    text('the path of a socket'),
    v.transform((path) => resolve(base, path)),
    v.check(
      (path) => Buffer.byteLength(path) <= longestSocketPath,
      (issue) =>
        `${show(issue.input)} has more than ${longestSocketPath} bytes, the most that a socket's path may have; use a shorter one`,
    ),
  )
}

function readJson(path: string): unknown {
  const name = displayName(path)
  const content = readText(path)
  const problem = findJsonSyntaxProblem(content)
  if (problem !== undefined) {
    const { line, column, found } = problem
    throw new ConfigError([
      `${name}:${line}:${column}: ${found} cannot stand here; write JSON (no comments, no comma before a closing bracket)`,
    ])
  }
  return JSON.parse(content)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/^\uFEFF/u, '')
  } catch (error) {
    const remedy =
      codeOf(error) === 'ENOENT'
        ? 'there is no such file; name an existing one with --config'
        : `cannot be read (${messageOf(error)}); check its kind and its permissions`
    throw new ConfigError([`${displayName(path)}: ${remedy}`], { cause: error })
  }
}

/** As the operator would write it: relative to the working directory where that is shorter. */
function displayName(path: string): string {
  const short = relative(process.cwd(), path)
  return short.length < path.length && !short.startsWith('..') ? short : path
}

// Every key is optional, and an empty object is the built-in configuration.
const configSchema = (base: string) =>
  strictObject({
    host: v.optional(addressSchema, '127.0.0.1'),
    port: v.optional(portSchema, 8080),
    workers: v.optional(workersSchema, Math.min(availableParallelism(), 8)),
    control: v.optional(controlPathSchema(base), defaultControlPath()),
    mounts: v.optional(mountsSchema(base), [{ prefix: '/', module: 'builtin:welcome' }]),
    limits: v.optional(limitsSchema, {}),
    timeouts: v.optional(timeoutsSchema, {}),
    log: v.optional(logSchema, {}),
    batch: v.optional(wholeNumber('a batch size', 1, 256), 16),
  })

// http1 reads a head at once, which bounds what a head and its target may be.
const limitsSchema = strictObject({
  head: v.exactOptional(wholeNumber('a number of bytes', 1, 32 * 1024)),
  requestTarget: v.exactOptional(wholeNumber('a number of bytes', 1, 32 * 1024)),
  headers: v.exactOptional(wholeNumber('a number of header fields', 1, 1000)),
  body: v.exactOptional(bytes),
  chunkExtensions: v.exactOptional(bytes),
  drain: v.exactOptional(bytes),
})

const timeoutsSchema = strictObject({
  head: v.exactOptional(milliseconds),
  idle: v.exactOptional(milliseconds),
  body: v.exactOptional(milliseconds),
  write: v.exactOptional(milliseconds),
  drain: v.optional(milliseconds, 30_000),
})

const logSchema = strictObject({
  level: v.optional(
    v.picklist(logLevels, (issue) => `${show(issue.input)} is not a log level; use ${logLevels.join(', ')}`),
    'info',
  ),
})

function mountsSchema(base: string): v.GenericSchema<unknown, ConfigMount[]> {
  return v.pipe(
    v.array(mountSchema(base), (issue) => `${show(issue.input)} is not a list of mounts; write [ { … } ]`),
    v.rawCheck(({ dataset, addIssue }) => {
      if (!dataset.typed) return
      const first = new Map<string, number>()
      for (const [index, mount] of dataset.value.entries()) {
        const name = mountName(mount.prefix, mount.host)
        const earlier = first.get(name)
        if (earlier === undefined) first.set(name, index)
        else
          addIssue({
            message: `${show(name)} is mounted by mounts[${earlier}] already; remove one of the two`,
            path: [
              { type: 'array', origin: 'value', input: dataset.value, key: index, value: mount },
              { type: 'object', origin: 'value', input: { ...mount }, key: 'prefix', value: mount.prefix },
            ],
          })
      }
    }),
  )
}

/** `{ prefix, host?, module, options? }`, or `{ prefix, host?, static, options? }` for a folder of files. */
function mountSchema(base: string): v.GenericSchema<unknown, ConfigMount> {
  return v.pipe(
    strictObject({
      prefix: prefixSchema,
      host: v.exactOptional(hostSchema),
      module: v.exactOptional(moduleSchema(base)),
      static: v.exactOptional(folderSchema(base)),
      options: v.exactOptional(v.unknown()),
    }),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const { prefix, host, module, static: folder, options } = dataset.value
      const place = host === undefined ? { prefix } : { prefix, host }
      if ((module === undefined) === (folder === undefined)) {
        addIssue({ message: 'needs either "module" or "static"; give exactly one of them' })
        return NEVER
      }
      if (module !== undefined) {
        return { ...place, spec: options === undefined ? { module } : { module, options } }
      }
      const settings = v.safeParse(staticFilesSettings, options ?? {})
      if (settings.success) {
        return { ...place, spec: { module: 'builtin:static', options: { ...settings.output, folder } } }
      }
      const under = {
        type: 'object',
        origin: 'value',
        input: { options },
        key: 'options',
        value: options,
      } as const
      for (const { message, path = [] } of settings.issues) addIssue({ message, path: [under, ...path] })
      return NEVER
    }),
  )
}

function moduleSchema(base: string): v.GenericSchema<unknown, string> {
  return v.pipe(
    text('the path of a module'),
    v.transform((module) => (module.startsWith('builtin:') ? module : resolve(base, module))),
    v.check(
      (module) => module.startsWith('builtin:') || kindOf(module) === 'file',
      (issue) =>
        `${show(issue.input)} is ${wrongKind(issue.input)}; name the file of a handler module, or builtin:welcome`,
    ),
  )
}

function folderSchema(base: string): v.GenericSchema<unknown, string> {
  return v.pipe(
    text('the path of a folder'),
    v.transform((folder) => resolve(base, folder)),
    v.check(
      (folder) => kindOf(folder) === 'folder',
      (issue) => `${show(issue.input)} is ${wrongKind(issue.input)}; name the folder whose files to serve`,
    ),
  )
}

function wrongKind(path: unknown): string {
  const kind = kindOf(String(path))
  return kind === 'file' || kind === 'folder' ? `a ${kind}` : kind
}

function kindOf(path: string): 'file' | 'folder' | 'missing' | 'out of reach' | 'of another kind' {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return 'missing'
    if (stats.isFile()) return 'file'
    return stats.isDirectory() ? 'folder' : 'of another kind'
  } catch {
    return 'out of reach'
  }
}
