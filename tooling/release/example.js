import { copyFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.js'

const deadline = 60_000

/**
 * The lines that an example says it prints: comments of the form `// prints: …`.
 * @param {string} source
 * @returns {string[]}
 */
const announced = (source) =>
  Array.from(source.matchAll(/\/\/ prints: (.*)$/gm), ([, line = '']) => line.trim())

/** The example that a package's README shows, or undefined. @param {import('./workspace.js').Package} entry */
export const exampleOf = (entry) => {
  const path = join(entry.folder, 'examples/readme.js')
  return existsSync(path) ? path : undefined
}

/**
 * Runs an example as its reader would: copied into a project that has installed the packages.
 * @param {string} path
 * @param {string} name     of the copy
 * @param {string} project
 * @param {string} node     the Node to run it with
 * @returns {Promise<string[]>} what was wrong, a sentence each
 */
export const runExample = async (path, name, project, node) => {
  copyFileSync(path, join(project, `${name}.js`))
  const ran = await run(node, [`${name}.js`], { cwd: project, timeout: deadline })
  if (!ran.good) return [`${ran.how}\n${ran.stdout}${ran.stderr}`.trimEnd()]
  const printed = ran.stdout.split('\n').map((line) => line.trim())
  const silent = announced(readFileSync(path, 'utf8')).filter((line) => !printed.includes(line))
  return silent.map((line) => `did not print "${line}" but:\n${ran.stdout}`)
}

/**
 * Runs an installed program with --help, which must do no more than print.
 * @param {string} program  its path in the project
 * @param {string} project
 * @param {string} node
 * @returns {Promise<string[]>}
 */
export const runHelp = async (program, project, node) => {
  const ran = await run(node, [program, '--help'], { cwd: project, timeout: deadline })
  if (!ran.good) return [`--help: ${ran.how}\n${ran.stderr}`.trimEnd()]
  return ran.stdout.includes('Usage') ? [] : [`--help does not print its usage:\n${ran.stdout}`]
}
