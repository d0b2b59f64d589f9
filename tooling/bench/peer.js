import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

/**
 * Compiles a package that a benchmark compares with, where it was installed, unless that was done: install scripts are
 * not run here. Returns why that was not possible, or undefined.
 * @param {NodeJS.Require} require of the benchmark, whose package also depends on @x/native-build
 * @param {string} name
 * @param {string} binary what the compilation makes, from the package's folder
 * @param {string} prefix whose include/node holds the headers of Node
 */
export const compilePeer = (require, name, binary, prefix) => {
  try {
    const folder = dirname(require.resolve(`${name}/package.json`))
    if (existsSync(join(folder, binary))) return undefined
    const gyp = createRequire(require.resolve('@x/native-build/package.json')).resolve(
      'node-gyp/bin/node-gyp.js',
    )
    execFileSync(process.execPath, [gyp, 'rebuild', '-C', folder, `--nodedir=${prefix}`], { stdio: 'pipe' })
    return undefined
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split('\n')[0]
  }
}
