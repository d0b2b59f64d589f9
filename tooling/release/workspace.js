import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {object} Manifest  What is read of a package.json.
 * @property {string} name
 * @property {string} version
 * @property {boolean} [private]
 * @property {Record<string, string>} [bin]
 * @property {Record<string, string | Record<string, string>>} [exports]
 * @property {string[]} [files]
 * @property {string[]} [os]
 * @property {Record<string, string>} [scripts]
 * @property {Record<string, string>} [dependencies]
 */

/**
 * @typedef {object} Package
 * @property {string} name      The short name, which is the folder's.
 * @property {'packages' | 'apps'} kind
 * @property {string} folder    Absolute.
 * @property {Manifest} manifest
 */

/** The root of the repository, absolute. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/** @param {string} path @returns {any} */
export const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'))

/** Every package and app of the workspace, in the order of their names. @returns {Package[]} */
export const workspace = () =>
  /** @type {const} */ (['packages', 'apps']).flatMap((kind) =>
    readdirSync(join(root, kind))
      .sort()
      .map((name) => ({ name, kind, folder: join(root, kind, name) }))
      .filter(({ folder }) => existsSync(join(folder, 'package.json')))
      .map((entry) => ({ ...entry, manifest: readJson(join(entry.folder, 'package.json')) })),
  )

/**
 * The command that runs the package manager of this repository, in the version that package.json names.
 * npm 12 wants the flag before it lets pnpm put its own program in place; npm 11 takes it too.
 * @returns {string[]}
 */
export const pnpmCommand = () => [
  'npx',
  '-y',
  '--allow-scripts=pnpm',
  readJson(join(root, 'package.json')).packageManager,
]
