import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { checkSymbols } from '@x/native-build/symbols.js'
import { readJson } from './workspace.js'
import { run } from './run.js'

/** What must never reach a user, as a pattern over paths inside the tarball. */
const unwanted = [
  [/(^|\/)test\//, 'a test'],
  [/(^|\/)(bench|reports|coverage|node_modules)\//, 'a file of the workbench'],
  [/\.tsbuildinfo$|(^|\/)\.turbo\//, 'a build record'],
  [/^native\/build\//, 'a compiler output'],
  [/^binding\.gyp$/, 'a binding.gyp at the root, which package managers would compile'],
]
const installScripts = ['preinstall', 'install', 'postinstall', 'prepare']

/**
 * Packs a package and unpacks the tarball beside itself.
 * @param {import('./workspace.js').Package} entry
 * @param {string} folder  where tarballs go
 * @param {string[]} pnpm  the command of the package manager
 * @returns {Promise<{ tarball: string, content: string }>}
 */
export const pack = async (entry, folder, [command = 'pnpm', ...args]) => {
  const destination = join(folder, entry.name)
  mkdirSync(destination, { recursive: true })
  const packed = await run(command, [...args, 'pack', '--pack-destination', destination], {
    cwd: entry.folder,
  })
  const name = readdirSync(destination).find((file) => file.endsWith('.tgz'))
  if (!packed.good || name === undefined) {
    throw new Error(`pnpm pack in ${entry.folder}: ${packed.how}\n${packed.stdout}${packed.stderr}`)
  }
  const unpacked = await run('tar', ['-xzf', name], { cwd: destination })
  if (!unpacked.good) throw new Error(`tar could not read ${name}: ${unpacked.stderr}`)
  return { tarball: join(destination, name), content: join(destination, 'package') }
}

/** @param {string} content @returns {string[]} */
const filesIn = (content) =>
  readdirSync(content, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(content, path)).isFile())
    .sort()

/** Every path that package.json promises. @param {import('./workspace.js').Manifest} manifest @returns {string[]} */
const promised = ({ exports = {}, bin = {} }) =>
  [...Object.values(exports), bin].flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  )

/** Sources that a source map or declaration map names and the tarball lacks. @param {string} path */
const lostSources = (path) =>
  /** @type {string[]} */ (readJson(path).sources).filter(
    (source) => !existsSync(resolve(dirname(path), source)),
  )

/**
 * Everything that is wrong with the files of an unpacked tarball, a sentence each.
 * @param {string} content
 * @returns {string[]}
 */
export const wrongFiles = (content) => {
  const files = filesIn(content)
  const manifest = /** @type {import('./workspace.js').Manifest} */ (readJson(join(content, 'package.json')))
  const wrong = []
  for (const path of files) {
    for (const [pattern, what] of unwanted) {
      if (/** @type {RegExp} */ (pattern).test(path)) wrong.push(`${path} is ${what}`)
    }
    if (path.endsWith('.map')) {
      for (const source of lostSources(join(content, path)))
        wrong.push(`${path} names ${source}, which is not there`)
    }
  }
  for (const path of ['README.md', 'LICENSE', ...promised(manifest)]) {
    if (!existsSync(join(content, path))) wrong.push(`${path} is missing`)
  }
  for (const entry of manifest.files ?? []) {
    if (!entry.startsWith('!') && !existsSync(join(content, entry)))
      wrong.push(`"files" says ${entry}: nothing there`)
  }
  for (const script of installScripts) {
    if (manifest.scripts?.[script] !== undefined) wrong.push(`the script "${script}" would run at install`)
  }
  for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
    if (/^(workspace|catalog|link|file):/.test(range)) wrong.push(`the dependency ${name} is "${range}"`)
  }
  return [...wrong, ...wrongPrebuilds(content, files)]
}

/** @param {string} content @param {string[]} files @returns {string[]} */
const wrongPrebuilds = (content, files) => {
  if (!files.includes('native/binding.gyp')) return []
  const folder = `prebuilds/linux-${process.arch}`
  const binaries = files.filter((path) => path.endsWith('.node'))
  const built = files.filter((path) => path.startsWith(`${folder}/`))
  const wrong = []
  if (files.includes('native/addon.cc') && !built.some((path) => path.endsWith('.node'))) {
    wrong.push(`no addon in ${folder}`)
  }
  // A program has no ending.
  if (files.includes('native/helper.cc') && !built.some((path) => !basename(path).includes('.'))) {
    wrong.push(`no helper in ${folder}`)
  }
  for (const path of binaries) {
    try {
      checkSymbols(join(content, path))
    } catch (error) {
      wrong.push(/** @type {Error} */ (error).message)
    }
  }
  return wrong
}

/** The tarball's size in KiB and its number of files, for people. @param {string} tarball @param {string} content */
export const extent = (tarball, content) =>
  `${filesIn(content).length} files, ${Math.ceil(statSync(tarball).size / 1024)} KiB packed`
