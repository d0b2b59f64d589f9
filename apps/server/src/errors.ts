/**
 * The errors that an operator or the author of a handler sees. Each carries a `code`; `instanceof` goes by a
 * registered symbol, so that it holds between two loaded copies of this package as well.
 */
function brandWith(error: Error, brand: symbol): void {
  Object.defineProperty(error, brand, { value: true })
}

function isBranded(value: unknown, brand: symbol): boolean {
  return typeof value === 'object' && value !== null && brand in value
}

const configBrand = Symbol.for('@x/server.ConfigError')

/** A configuration that cannot be used. `problems` lists every one found, each with its file, key and remedy. */
export class ConfigError extends Error {
  readonly code = 'ERR_CONFIG'
  readonly problems: readonly string[]

  constructor(problems: readonly string[], options?: ErrorOptions) {
    super(problems.join('\n'), options)
    this.name = 'ConfigError'
    brandWith(this, configBrand)
    this.problems = problems
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value, configBrand)
  }
}

const inPlaceBrand = Symbol.for('@x/server.ConfigInPlaceError')

/** A sound configuration that a running server cannot take, for a setting in it that only a start can change. */
export class ConfigInPlaceError extends Error {
  readonly code = 'ERR_CONFIG_IN_PLACE'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ConfigInPlaceError'
    brandWith(this, inPlaceBrand)
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value, inPlaceBrand)
  }
}

const handlerModuleBrand = Symbol.for('@x/server.HandlerModuleError')

/** A handler module that cannot be used. The message names the file and the remedy. */
export class HandlerModuleError extends Error {
  readonly code = 'ERR_HANDLER_MODULE'
  /** The module as the mount named it: an absolute path or `builtin:NAME`. */
  readonly module: string

  constructor(module: string, message: string, options?: ErrorOptions) {
    super(`${module}: ${message}`, options)
    this.name = 'HandlerModuleError'
    brandWith(this, handlerModuleBrand)
    this.module = module
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value, handlerModuleBrand)
  }
}

const controlBrand = Symbol.for('@x/server.ControlError')

/**
 * A command to a running server that failed.
 * - `ERR_NO_SERVER`: nobody listens at the control door's name.
 * - `ERR_CONTROL_IN_USE`: another server holds the name of the control door.
 * - `ERR_CONTROL_PATH`: what is at the path of the control door is not a socket, or another user's, or it cannot be made.
 * - `ERR_CONTROL_PROTOCOL`: what answered is not this server, or a request to it was malformed.
 * - `EPERM`, `EACCES`: the server is another user's.
 * - `ECONNRESET`: the server has ended; the command may have been done, or not.
 * - `ETIMEDOUT`: no answer before the deadline.
 * - any other code: as the server reported it, for example `EEXIST` for a prefix that is taken.
 */
export class ControlError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ControlError'
    brandWith(this, controlBrand)
    this.code = code
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value, controlBrand)
  }
}

const usageBrand = Symbol.for('@x/server.UsageError')

/** A command line that cannot be understood; the process exits with 2. */
export class UsageError extends Error {
  readonly code = 'ERR_USAGE'

  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'UsageError'
    brandWith(this, usageBrand)
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return isBranded(value, usageBrand)
  }
}

/** The `code` of an error of Node or of this project, or '' if it has none. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** What an error says, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
