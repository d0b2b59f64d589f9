import { statSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { HandlerModuleError, messageOf } from '../errors.ts'
import type { HandlerModule, MountSpec } from '../handler.ts'
import { admin } from './admin/admin.ts'
import { doorMount } from './door/door-mount.ts'
import { health } from './health/health.ts'
import { metrics } from './metrics/metrics.ts'
import { noServer, type ServerAccess } from './server-access.ts'
import { staticFiles } from './static-files/static-files.ts'
import { welcome } from './welcome/welcome.ts'
import { mountName } from '../config/mount-name.ts'

export type { HandlerContext, HandlerLog, HandlerModule, MountSpec, ResponseLike } from '../handler.ts'

const builtins: Readonly<Record<string, (options: unknown, access: ServerAccess) => HandlerModule>> = {
  'builtin:welcome': welcome,
  'builtin:static': staticFiles,
  'builtin:door': doorMount,
  'builtin:metrics': metrics,
  'builtin:health': health,
  'builtin:admin': admin,
}

/**
 * Loads the module of a mount. Each generation reads the file anew, so that a replaced file takes effect;
 * what the file itself imports is read once a thread. `access` is for those of the server's own.
 * @throws {HandlerModuleError} naming the module and the remedy.
 */
export async function loadHandler(
  spec: MountSpec,
  generation: number,
  access: ServerAccess = noServer,
): Promise<HandlerModule> {
  if (spec.module.startsWith('builtin:')) return builtin(spec, access)
  return checked(spec.module, await importFile(spec.module, generation))
}

/**
 * Loads the handlers of all mounts, so that a broken one is known before anything listens.
 * @throws {AggregateError} of every mount's {@link HandlerModuleError}.
 */
export async function checkHandlers(
  mounts: readonly { prefix: string; host?: string; spec: MountSpec }[],
): Promise<void> {
  const results = await Promise.allSettled(mounts.map(({ spec }) => loadHandler(spec, 0)))
  const problems = results.flatMap((result, index) => {
    const mount = mounts[index]
    if (result.status === 'fulfilled' || mount === undefined) return []
    return [{ name: mountName(mount.prefix, mount.host), error: result.reason as unknown }]
  })
  if (problems.length === 0) return
  throw new AggregateError(
    problems.map(({ error }) => error),
    problems.map(({ name, error }) => `mount ${name}: ${messageOf(error)}`).join('\n'),
  )
}

function builtin(spec: MountSpec, access: ServerAccess): HandlerModule {
  const make = builtins[spec.module]
  if (make === undefined) {
    throw new HandlerModuleError(spec.module, `there is no such handler; use ${builtinNames()}`)
  }
  try {
    return make(spec.options ?? {}, access)
  } catch (error) {
    throw new HandlerModuleError(spec.module, messageOf(error), { cause: error })
  }
}

function builtinNames(): string {
  const names = Object.keys(builtins)
  return `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}

async function importFile(file: string, generation: number): Promise<object> {
  if (!isAbsolute(file))
    throw new HandlerModuleError(file, 'is not an absolute path; give one, or builtin:NAME')
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) {
    throw new HandlerModuleError(file, 'there is no such file; name an existing handler module')
  }
  const url = pathToFileURL(file)
  url.searchParams.set('generation', String(generation))
  try {
    return (await import(url.href)) as object
  } catch (error) {
    throw new HandlerModuleError(file, importProblem(file, error), { cause: error })
  }
}

function importProblem(file: string, error: unknown): string {
  if (error instanceof SyntaxError) {
    return `is not a JavaScript module (${error.message}); \`node --check ${file}\` shows the place to correct`
  }
  return `throws while it is loaded (${messageOf(error)}); correct what it does or imports at its top level`
}

function checked(file: string, namespace: object): HandlerModule {
  const exported = namespace as Record<string, unknown> & { handle?: unknown; default?: unknown }
  if (typeof exported.handle !== 'function') throw new HandlerModuleError(file, handleProblem(exported))
  for (const name of ['init', 'cleanup']) {
    const value = exported[name]
    if (value !== undefined && typeof value !== 'function') {
      throw new HandlerModuleError(
        file,
        `exports \`${name}\`, but not as a function; make it one or leave it out`,
      )
    }
  }
  return namespace as HandlerModule
}

function handleProblem(exported: { handle?: unknown; default?: unknown }): string {
  const remedy = 'write `export function handle(request, ctx) { … }`'
  if (exported.handle !== undefined) return `exports \`handle\`, but not as a function; ${remedy}`
  if (exported.default !== undefined) return `has a default export and no \`handle\`; instead of it ${remedy}`
  return `does not export \`handle\`; ${remedy}`
}
