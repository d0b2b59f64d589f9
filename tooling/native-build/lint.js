#!/usr/bin/env node
// native-lint [--fix] [--deep] [PACKAGE …]: clang-format and clang-tidy over the native code of every package, or of
// the packages named; --deep with clang-tidy over their tests, too, and with clang's static analyzer, which takes longer
// than all the rest. Run from the root of the repository.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { headersPrefix } from './headers.js'

// What is left when clang-tidy has nothing to say about our files.
const noise =
  /^\d+ warnings? generated\.$|^Suppressed \d+ warnings|^Use -header-filter|^Error while processing/
const timeout = 300_000
const fix = process.argv.includes('--fix')
const deep = process.argv.includes('--deep')
// A test prints what it found and is not in a hurry; and sanitizers look at what it does, where the analyzer would guess.
const laxer = ['--checks=-cert-err33-c,-performance-*,-clang-analyzer-*']
const usual = deep ? [] : ['--checks=-clang-analyzer-*']
const named = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))

/** Runs a tool to its end and gives back whether it was content, with its complaints as file:line lines. */
const run = (tool, args) =>
  new Promise((resolve) => {
    const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout })
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('close', (status, signal) => {
      const lines = Buffer.concat(chunks).toString().split('\n')
      const said = lines.filter((line) => line !== '' && !noise.test(line)).join('\n')
      resolve({ good: status === 0, said: signal ? `${tool} was ended by ${signal}\n${said}` : said })
    })
  })

const sources = (native) =>
  readdirSync(native, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(cc|h)$/.test(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .filter((path) => !path.startsWith(join(native, 'build')))
    .sort()

const compilerFlags = (folder) => {
  const { resolve } = createRequire(join(process.cwd(), folder, 'package.json'))
  const addonApi = dirname(resolve('node-addon-api/package.json'))
  const nodeInclude = join(headersPrefix() ?? '/usr', 'include/node')
  const defines = [
    'NAPI_VERSION=9',
    'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
    'NODE_ADDON_API_DISABLE_DEPRECATED',
  ]
  return [
    '-std=c++20',
    `-I${join(folder, 'native')}`,
    ...['-isystem', nodeInclude, '-isystem', addonApi],
    ...defines.map((define) => `-D${define}`),
  ]
}

/** What a file is compiled from: itself and the headers; an addon may include every file of its core. */
const inputsOf = (file, files) =>
  basename(file).startsWith('addon') ? files : files.filter((path) => path === file || path.endsWith('.h'))

/** A name for everything that decides what clang-tidy says about a file. */
const fingerprint = (file, files, flags) => {
  const hash = createHash('sha256')
    .update(tidyVersion)
    .update([deep, ...flags].join('\n'))
    .update(readFileSync('.clang-tidy'))
  for (const path of [file, ...inputsOf(file, files)]) hash.update(`\0${path}\0`).update(readFileSync(path))
  return hash.digest('hex')
}

// A complaint about a header comes once from every file that includes it.
const seen = new Set()
const unseen = (said) =>
  said
    .split(/\n(?=\S+:\d+:\d+: (?:error|warning): )/)
    .filter((complaint) => !seen.has(complaint) && seen.add(complaint))
    .join('\n')

const missing = ['clang-format', 'clang-tidy'].filter((tool) => spawnSync(tool, ['--version']).status !== 0)
if (missing.length > 0) {
  const note = `native-lint: ${missing.join(' and ')} not found; install with: apt-get install clang-format clang-tidy`
  process.stderr.write(`${note}\n`)
  process.exit(process.env.CI ? 1 : 0)
}
if (!existsSync('.clang-tidy')) {
  process.stderr.write('native-lint: no .clang-tidy here; run it from the root of the repository\n')
  process.exit(2)
}

const folders = (named.length > 0 ? named : readdirSync('packages'))
  .map((name) => join('packages', name))
  .filter((folder) => existsSync(join(folder, 'native/binding.gyp')))

// A file that passed is not analysed again until it, a header, or the rules change.
const passed = 'node_modules/.cache/native-lint'
mkdirSync(passed, { recursive: true })
const tidyVersion = spawnSync('clang-tidy', ['--version'], { encoding: 'utf8' }).stdout

const jobs = []
for (const folder of folders) {
  const files = sources(join(folder, 'native'))
  if (files.length === 0) continue
  jobs.push(() => run('clang-format', fix ? ['-i', ...files] : ['--dry-run', '--Werror', ...files]))
  const flags = compilerFlags(folder)
  for (const file of files.filter((path) => path.endsWith('.cc'))) {
    const isTest = file.startsWith(join(folder, 'native/test/'))
    // The compilers of the sanitizers look at the tests with all warnings in any case.
    if (isTest && !deep) continue
    const stamp = join(passed, fingerprint(file, files, flags))
    if (existsSync(stamp)) continue
    jobs.push(async () => {
      const checks = isTest ? laxer : usual
      const result = await run('clang-tidy', ['--quiet', ...checks, file, '--', ...flags])
      if (result.good) writeFileSync(stamp, '')
      return result
    })
  }
}

let failed = false
const worker = async () => {
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
    const { good, said } = await job()
    if (good) continue
    failed = true
    const fresh = unseen(said)
    if (fresh !== '') process.stdout.write(`${fresh}\n`)
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, worker))
process.exit(failed ? 1 : 0)
