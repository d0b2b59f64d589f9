import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.js'

/** @typedef {{ name: string, tarball: string }} Packed  A package by its full name, and its tarball. */

/**
 * @typedef {object} Installed
 * @property {string} project  The folder of the project.
 * @property {string[]} wrong  Everything that was not as it should be, a sentence each.
 */

/** @param {string} text */
const lines = (text) => text.split('\n').filter((line) => line.trim() !== '')

/** What a package manager said that is a warning or an error. @param {string} text */
const complaints = (text) =>
  lines(text).filter((line) => /\bwarn|\berr(or)?\b|deprecated|ignored build/i.test(line))

/** @param {string} folder @param {string} name */
const emptyProject = (folder, name) => {
  const project = join(folder, name)
  mkdirSync(project, { recursive: true })
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  return project
}

/** Compilers' traces in what was installed. @param {string} project @param {Packed[]} packed */
const compiled = (project, packed) =>
  packed
    .filter(({ name }) => existsSync(join(project, 'node_modules', name, 'native/build')))
    .map(({ name }) => `${name} was compiled at install; its prebuilt addon should have been taken`)

/**
 * @param {string} project
 * @param {Packed[]} packed
 * @param {import('./run.js').Ran} ran
 * @param {string[]} expected  what the user's own configuration makes the client say anyway
 * @returns {Installed}
 */
const judge = (project, packed, ran, expected) => ({
  project,
  wrong: [
    ...(ran.good
      ? []
      : [
          `${ran.how}: ${lines(ran.stdout + ran.stderr)
            .slice(-8)
            .join('\n')}`,
        ]),
    ...complaints(ran.stdout + ran.stderr).filter((line) => !expected.includes(line)),
    ...compiled(project, packed),
  ],
})

/**
 * Installs all tarballs into an empty project with npm 11.
 * @param {string} folder
 * @param {Packed[]} packed
 * @returns {Promise<Installed>}
 */
export const installWithNpm = async (folder, packed) => {
  const npm = ['-y', 'npm@11']
  const quiet = ['--no-audit', '--no-fund']
  const before = await run('npx', [...npm, 'install', ...quiet], { cwd: emptyProject(folder, 'npm-empty') })
  const project = emptyProject(folder, 'npm')
  const tarballs = packed.map(({ tarball }) => tarball)
  const ran = await run('npx', [...npm, 'install', ...quiet, ...tarballs], { cwd: project })
  return judge(project, packed, ran, complaints(before.stdout + before.stderr))
}

/**
 * Installs all tarballs into an empty project with pnpm. They depend on each other and are not published
 * yet, so each name is bound to its tarball.
 * @param {string} folder
 * @param {Packed[]} packed
 * @param {string[]} pnpm  the command
 * @returns {Promise<Installed>}
 */
export const installWithPnpm = async (folder, packed, [command = 'pnpm', ...args]) => {
  const empty = emptyProject(folder, 'pnpm-empty')
  const before = await run(command, [...args, 'install'], { cwd: empty })
  const project = emptyProject(folder, 'pnpm')
  const bound = packed.map(({ name, tarball }) => `  '${name}': file:${tarball}\n`)
  writeFileSync(join(project, 'pnpm-workspace.yaml'), `overrides:\n${bound.join('')}`)
  const ran = await run(command, [...args, 'add', ...packed.map(({ tarball }) => tarball)], { cwd: project })
  return judge(project, packed, ran, complaints(before.stdout + before.stderr))
}
