#!/usr/bin/env node
// native-build: compiles native/binding.gyp of the package in the working directory to
// prebuilds/<platform>-<arch>/addon.<libc>.node, if it has an addon, and its static programs beside that under their own
// names. It refuses a binary that old systems could not load.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { headersPrefix } from './headers.js'
import { checkSymbols } from './symbols.js'

const require = createRequire(import.meta.url)
const prebuildify = promisify(require('prebuildify'))

const prefix = headersPrefix()
if (prefix) process.env.npm_config_nodedir = prefix

const arch = process.env.npm_config_arch ?? process.arch
rmSync(resolve('prebuilds', `linux-${arch}`), { recursive: true, force: true })

const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js')
const verbose = process.argv.includes('--verbose')

const buildAll = () =>
  prebuildify({
    cwd: resolve('native'),
    out: resolve('.'),
    name: 'addon',
    napi: true,
    strip: true,
    tagLibc: true,
    arch,
    targets: [{ runtime: 'node', target: process.versions.node }],
    nodeGyp,
    quiet: !verbose,
  })

// prebuildify is for addons, and fails without one.
const buildPrograms = () => {
  execFileSync(process.execPath, [nodeGyp, 'rebuild', `--arch=${arch}`, ...(verbose ? [] : ['--silent'])], {
    cwd: resolve('native'),
    stdio: ['ignore', verbose ? 'inherit' : 'ignore', 'inherit'],
  })
}

await (existsSync('native/addon.cc') ? buildAll() : buildPrograms())

const folder = resolve('prebuilds', `linux-${arch}`)
mkdirSync(folder, { recursive: true })
for (const name of readdirSync(folder)) checkSymbols(join(folder, name))

// Static ones: they need no version of any library.
const release = resolve('native/build/Release')
const programs = readdirSync(release, { withFileTypes: true }).filter(
  (entry) => entry.isFile() && !entry.name.includes('.'),
)
for (const { name } of programs) {
  copyFileSync(join(release, name), join(folder, name))
  execFileSync(process.env.STRIP ?? 'strip', [join(folder, name)])
}
