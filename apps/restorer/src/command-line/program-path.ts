import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'
import { UsageError } from '../errors.ts'

/** The file of a program: as it is named when there is a slash in it, otherwise the first one in PATH. */
export function programPath(name: string): string {
  if (name.includes('/')) {
    if (isExecutable(resolve(name))) return resolve(name)
    throw new UsageError(`${name} cannot be executed: it is not there, no file, or lacks the permission`)
  }
  const folders = (process.env.PATH ?? '/usr/bin:/bin').split(delimiter)
  const found = folders.map((folder) => resolve(join(folder, name))).find(isExecutable)
  if (found === undefined) throw new UsageError(`${name} is in no folder of PATH: name it by its path`)
  return found
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
