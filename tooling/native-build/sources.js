import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Names of the files of a folder, which may not be there. @param {string} folder @param {RegExp} pattern */
export const list = (folder, pattern) =>
  existsSync(folder) ? readdirSync(folder).filter((name) => pattern.test(name)) : []

/**
 * The core of a package: all of its native code that has no header of Node's, and no main function.
 * @param {string} native
 */
export const coreOf = (native) => list(native, /^(?!addon|helper\.).*\.cc$/).map((name) => join(native, name))
