import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './workspace.js'
import { run } from './run.js'

/** The lines of Node that the packages promise to run on. */
export const supported = ['20', '22', '24', '26']

const cache = join(root, 'node_modules/.cache/release')

/**
 * The path of a Node binary of that major line: the one that runs this, or one from the registry's
 * node-linux-<arch> packages, kept in node_modules/.cache for the next run.
 * @param {string} major
 * @returns {Promise<string>}
 */
export const nodeBinary = async (major) => {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath
  const binary = join(cache, `node-${major}`)
  if (existsSync(binary)) return binary
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'download-'))
  try {
    const specifier = `node-linux-${process.arch}@${major}`
    const packed = await run('npm', ['pack', specifier, '--silent'], { cwd: folder })
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
    if (tarball === undefined) {
      throw new Error(`npm pack ${specifier} gave no tarball (${packed.how}):\n${packed.stderr}`)
    }
    const unpacked = await run('tar', ['-xzf', tarball, 'package/bin/node'], { cwd: folder })
    if (!unpacked.good) throw new Error(`tar could not read ${tarball}: ${unpacked.stderr}`)
    renameSync(join(folder, 'package/bin/node'), binary)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return binary
}
