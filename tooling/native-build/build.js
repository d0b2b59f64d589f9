#!/usr/bin/env node
// native-build: compiles native/binding.gyp of the package in the working directory to
// prebuilds/<platform>-<arch>/addon.<libc>.node, and refuses a binary that old systems could not load.
import { createRequire } from 'node:module'
import { readdirSync, rmSync } from 'node:fs'
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

await prebuildify({
  cwd: resolve('native'),
  out: resolve('.'),
  name: 'addon',
  napi: true,
  strip: true,
  tagLibc: true,
  arch,
  targets: [{ runtime: 'node', target: process.versions.node }],
  nodeGyp: require.resolve('node-gyp/bin/node-gyp.js'),
  quiet: !process.argv.includes('--verbose'),
})

const folder = resolve('prebuilds', `linux-${arch}`)
for (const name of readdirSync(folder)) checkSymbols(join(folder, name))
