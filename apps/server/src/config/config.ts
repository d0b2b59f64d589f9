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
import { described, issueLines, show, strictObject, text, wholeNumber } from './strict-object.ts'

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
  /** How long after a take-over the old process can still go on in place of the new one. */
  probation: number
}

/** Each of http1's that is left out is http1's default. */
export interface ConfigLimits extends Partial<Limits> {
  /** Connections at once; without a bound when left out. */
  connections?: number
  /** Connections at once of one client address, an IPv6 one being its /64; without a bound when left out. */
  connectionsPerAddress?: number
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
  /** Absolute path of the control door. */
  control: string
  mounts: ConfigMount[]
  /** Each that is left out is http1's default. */
  limits: ConfigLimits
  timeouts: ConfigTimeouts
  log: {
    level: LogLevel
    /** A line for each request. */
    requests: boolean
  }
  /** Most requests that a worker takes at a time. */
  batch: number
  /** Handlers that a worker may have done with before it is renewed; 0: any number. */
  recycle: number
  /** Targets that a new process asks its own handlers for before it takes over. */
  selfTest: string[]
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
  const { $schema, ...settings } = result.output
  return { file: path, ...settings, ...overrides }
}

/**
 * The mounts of a file that are sound by themselves, whatever else is wrong in it, each with its place; none when
 * the file cannot be read. For who wants to know of their handlers as well.
 */
export function soundMounts(file: string): { place: string; mount: ConfigMount }[] {
  const path = resolve(file)
  const list = v.safeParse(v.object({ mounts: v.array(v.unknown()) }), readJsonIfAny(path))
  if (!list.success) return []
  const schema = mountSchema(dirname(path))
  return list.output.mounts.flatMap((raw, index) => {
    const mount = v.safeParse(schema, raw)
    return mount.success ? [{ place: `${displayName(path)}: mounts[${index}]`, mount: mount.output }] : []
  })
}

/** The control door's path when nobody names one: in the user's runtime folder, else in /tmp. */
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

function readJsonIfAny(path: string): unknown {
  try {
    return readJson(path)
  } catch {
    return undefined
  }
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

/**
 * The schema of a file in the folder `base`. Every key is optional, and an empty object is the built-in
 * configuration. What depends on the machine is a function, so that a JSON schema does not name it as a default.
 */
export const configSchema = (
  base: string,
): v.GenericSchema<unknown, Omit<Config, 'file'> & { $schema?: string }> =>
  strictObject({
    $schema: v.exactOptional(text('the address of a JSON schema')),
    host: described('IP address to listen at', v.optional(addressSchema, '127.0.0.1')),
    port: described('TCP port; 0 has the kernel choose', v.optional(portSchema, 8080)),
    workers: described(
      'worker threads; the number of processors, at most 8, when left out',
      v.optional(workersSchema, () => Math.min(availableParallelism(), 8)),
    ),
    control: described(
      'path of the control door; x-server-UID.sock in $XDG_RUNTIME_DIR or /tmp when left out',
      v.optional(controlPathSchema(base), defaultControlPath),
    ),
    mounts: described(
      'what is served where',
      v.optional(mountsSchema(base), [{ prefix: '/', module: 'builtin:welcome' }]),
    ),
    limits: described('what a client may use', v.optional(limitsSchema, {})),
    timeouts: described('how long what may last, in milliseconds', v.optional(timeoutsSchema, {})),
    log: described('what is written to the log', v.optional(logSchema, {})),
    batch: described(
      'requests that a worker takes at a time',
      v.optional(wholeNumber('a batch size', 1, 256), 16),
    ),
    recycle: described(
      'handlers of files that a worker may have done with before it is renewed by a new thread, for their code stays in its memory; 0: any number',
      v.optional(wholeNumber('a number of handlers', 0, Number.MAX_SAFE_INTEGER), 100),
    ),
    selfTest: described(
      'paths that a new process asks its own handlers for before it takes over; each has to answer 2xx or 3xx',
      v.optional(
        v.array(pathSchema, (issue) => `${show(issue.input)} is not a list of paths; write [ "/…" ]`),
        [],
      ),
    ),
  })

const pathSchema = v.pipe(
  text('a path'),
  v.regex(
    /^\/[\x21-\x7e]*$/u,
    (issue) => `${show(issue.input)} is not a path; begin it with / and encode it`,
  ),
)

// http1 reads a head at once, which bounds what a head and its target may be.
const limitsSchema = strictObject({
  connections: described(
    'connections at once; who comes then waits in the backlog',
    v.exactOptional(wholeNumber('a number of connections', 1, 1_000_000)),
  ),
  connectionsPerAddress: described(
    'connections at once of one client address, where all of the /64 of an IPv6 address are one; the next is answered 503 and closed',
    v.exactOptional(wholeNumber('a number of connections', 1, 1_000_000)),
  ),
  requestsPerConnection: described(
    'requests of one connection; the response to the last one closes it',
    v.exactOptional(wholeNumber('a number of requests', 1, 2 ** 32 - 1)),
  ),
  head: described(
    "bytes of a request's head",
    v.exactOptional(wholeNumber('a number of bytes', 1, 32 * 1024)),
  ),
  requestTarget: described(
    "bytes of a request's target",
    v.exactOptional(wholeNumber('a number of bytes', 1, 32 * 1024)),
  ),
  headers: described(
    'header fields of a request',
    v.exactOptional(wholeNumber('a number of header fields', 1, 1000)),
  ),
  body: described("bytes of a request's body", v.exactOptional(bytes)),
  bodyRate: described(
    'bytes a second of a body that is waited for; 0: any',
    v.exactOptional(wholeNumber('a number of bytes a second', 0, Number.MAX_SAFE_INTEGER)),
  ),
  chunkExtensions: described('bytes of chunk extensions in one body', v.exactOptional(bytes)),
  drain: described('bytes read and thrown away after a response before closing', v.exactOptional(bytes)),
})

const timeoutsSchema = strictObject({
  head: described(
    "from a head's first byte to its last, and from accept to the first",
    v.exactOptional(milliseconds),
  ),
  idle: described('between two requests of a connection', v.exactOptional(milliseconds)),
  body: described('without a byte of the body that is being read', v.exactOptional(milliseconds)),
  write: described('without the client taking a byte of the response', v.exactOptional(milliseconds)),
  drain: described('that a stop waits for requests in progress', v.optional(milliseconds, 30_000)),
  probation: described(
    'that the old process of a restart can still go on in place of the new one; 0: not at all',
    v.optional(wholeNumber('a time in milliseconds', 0, 600_000), 1000),
  ),
})

const logSchema = strictObject({
  level: described(
    'the least level that is written',
    v.optional(
      v.picklist(
        logLevels,
        (issue) => `${show(issue.input)} is not a log level; use ${logLevels.join(', ')}`,
      ),
      'info',
    ),
  ),
  requests: described(
    'a line for each request, whatever the level',
    v.optional(
      v.boolean((issue) => `${show(issue.input)} is not true or false; write one of the two`),
      false,
    ),
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
    strictObject(
      {
        prefix: described('whole segments of the path; the longest one wins', prefixSchema),
        host: described('only requests to this host, without its port', v.exactOptional(hostSchema)),
        module: described('file of a handler module, or builtin:NAME', v.exactOptional(moduleSchema(base))),
        static: described('folder whose files are served', v.exactOptional(folderSchema(base))),
        options: described('whatever the handler takes', v.exactOptional(v.unknown())),
      },
      { exactlyOneOf: ['module', 'static'] },
    ),
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
