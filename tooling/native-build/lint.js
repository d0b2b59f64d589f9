#!/usr/bin/env node
// native-lint [--fix]: clang-format and clang-tidy over the native code of every package.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { headersPrefix } from './headers.js'

const fix = process.argv.includes('--fix')
const missing = ['clang-format', 'clang-tidy'].filter((tool) => spawnSync(tool, ['--version']).status !== 0)
if (missing.length > 0) {
  const note = `native-lint: ${missing.join(' and ')} not found; install with: apt-get install clang-format clang-tidy`
  process.stderr.write(`${note}\n`)
  process.exit(process.env.CI ? 1 : 0)
}

const sources = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(cc|h)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !path.includes('/build/'))

let failed = false
const run = (tool, args) => {
  const { status } = spawnSync(tool, args, { stdio: ['ignore', 'inherit', 'pipe'], encoding: 'utf8' })
  if (status !== 0) failed = true
}

const packages = readdirSync('packages')
  .map((name) => join('packages', name))
  .filter((folder) => existsSync(join(folder, 'native/binding.gyp')))

const nodeInclude = join(headersPrefix() ?? '/usr', 'include/node')
for (const folder of packages) {
  const native = join(folder, 'native')
  const files = sources(native)
  run('clang-format', fix ? ['-i', ...files] : ['--dry-run', '--Werror', ...files])
  const require = createRequire(join(process.cwd(), folder, 'package.json'))
  const addonApi = dirname(require.resolve('node-addon-api/package.json'))
  const flags = ['-std=c++20', `-I${native}`, '-isystem', nodeInclude, '-isystem', addonApi]
  const defines = ['-DNAPI_VERSION=9', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', '-DNODE_ADDON_API_DISABLE_DEPRECATED']
  run('clang-tidy', ['--quiet', ...files.filter((path) => path.endsWith('.cc')), '--', ...flags, ...defines])
}
process.exit(failed ? 1 : 0)
