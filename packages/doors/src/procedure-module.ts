import { deserialize, serialize } from 'node:v8'
import { pathToFileURL } from 'node:url'
import { invalid } from './errors.ts'
import type { Procedure, ServedDoor } from './procedure.ts'

/** Where threads find a procedure: a module, and the name of its export, `default` unless told. */
export interface ProcedureModule {
  readonly module: URL | string
  readonly export?: string | undefined
}

/** What a thread that is to serve a door has to know of it. */
export interface DoorSource {
  readonly module: string
  readonly export: string
  readonly cookie: unknown
  readonly cancels: boolean
  readonly lendsBuffer: boolean
}

/** An absolute path is one of a file. Throws DoorError EINVAL. */
export function checkModule(
  module: URL | ProcedureModule,
  syscall: string,
): { module: string; export: string } {
  const given = module instanceof URL ? { module } : module
  const { module: where, export: name = 'default' } = given
  if (typeof name !== 'string') throw invalid(syscall, 'the export of a module is a string')
  if (where instanceof URL) return { module: where.href, export: name }
  if (typeof where !== 'string' || where === '')
    throw invalid(syscall, 'a procedure is a function, the URL of a module, or { module, export }')
  return { module: where.startsWith('/') ? pathToFileURL(where).href : where, export: name }
}

/** As bytes, which every thread of the process can have. Throws DoorError EINVAL for a cookie that cannot be cloned. */
export function sourceToBytes(source: DoorSource): Uint8Array {
  try {
    return serialize(source)
  } catch (cause) {
    throw invalid('door_create', `the cookie cannot be cloned for other threads: ${String(cause)}`)
  }
}

/** Imports it in this thread. Rejects when that fails, or it has no such function. */
export async function loadDoor(bytes: Uint8Array): Promise<ServedDoor> {
  const { module, export: name, cookie, cancels, lendsBuffer } = deserialize(bytes) as DoorSource
  const procedure = ((await import(module)) as Record<string, unknown>)[name]
  if (typeof procedure !== 'function') throw new TypeError(`${module} exports no function named ${name}`)
  return { procedure: procedure as Procedure, cookie, cancels, lendsBuffer }
}
