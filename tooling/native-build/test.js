#!/usr/bin/env node
// native-test [asan-ubsan|tsan …]: compiles the core of the package in the working directory (every native/*.cc
// that is not the addon) and native/test/*_test.cc under each sanitizer, and runs the tests.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { coreOf, list } from './sources.js'

const flags = {
  // The two bear each other, and most of the time goes into compiling; ThreadSanitizer bears neither.
  'asan-ubsan': ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  tsan: ['-fsanitize=thread'],
}
const compileTimeout = 300_000
const runTimeout = 300_000

const fail = (status, message) => {
  process.stderr.write(`native-test: ${message}\n`)
  process.exit(status)
}

const wanted = process.argv.slice(2)
const unknown = wanted.filter((mode) => !(mode in flags))
if (unknown.length > 0)
  fail(2, `no sanitizer ${unknown.join(', ')}; choose from ${Object.keys(flags).join(', ')}`)
const modes = wanted.length > 0 ? wanted : Object.keys(flags)

const native = resolve('native')
const core = coreOf(native)
const tests = list(join(native, 'test'), /_test\.cc$/)
if (tests.length === 0) fail(2, `no native/test/*_test.cc in ${process.cwd()}`)

const inputs = [native, join(native, 'test')].flatMap((folder) =>
  list(folder, /\.(cc|h)$/).map((name) => join(folder, name)),
)
const lastChange = Math.max(...inputs.map((path) => statSync(path).mtimeMs))

const run = (command, args, timeout) => {
  const { status, signal, error } = spawnSync(command, args, {
    stdio: 'inherit',
    timeout,
    env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  })
  if (status !== 0) fail(1, `${command} ended with ${error?.message ?? signal ?? status}`)
}

const out = join(native, 'build/test')
// Lines are all that a report needs of what a debugger would know, and a quarter of the compiling goes without the rest.
const strict = ['-std=c++20', '-O1', '-g1', '-Wall', '-Wextra', '-Werror', '-pthread', `-I${native}`]

/** Makes `name` by a compiler that is told where to, unless it is there. Under another name first: two runs may want it at once. */
const make = async (name, compile) => {
  const made = join(out, name)
  if (existsSync(made) && statSync(made).mtimeMs > lastChange) return made
  mkdirSync(out, { recursive: true })
  const partial = join(out, `${process.pid}.${name}`)
  await compile(partial)
  renameSync(partial, made)
  return made
}

const compile = async (mode, args) => {
  const compiler = process.env.CXX ?? 'g++'
  const child = spawn(compiler, [...strict, ...flags[mode], ...args], {
    stdio: 'inherit',
    timeout: compileTimeout,
  })
  const [status, signal] = await once(child, 'exit')
  if (status !== 0) fail(1, `${compiler} ended with ${signal ?? status}`)
}

/** The core as one object that all tests are linked with. Each file by itself, as many at a time as there are processors. */
const makeCore = (mode) =>
  make(`core.${mode}.o`, async (made) => {
    const objects = core.map((file, index) => `${made}.${index}.o`)
    const rest = core.map((file, index) => ['-c', file, '-o', objects[index]])
    const work = async () => {
      for (let next = rest.pop(); next !== undefined; next = rest.pop()) await compile(mode, next)
    }
    await Promise.all(Array.from({ length: availableParallelism() }, work))
    await compile(mode, ['-r', '-nostdlib', ...objects, '-o', made])
    for (const object of objects) rmSync(object)
  })

/** ThreadSanitizer finds no room for its shadow where the kernel randomises more than 28 bits of an address. */
const fixedAddresses = () => {
  const setting = '/proc/sys/vm/mmap_rnd_bits'
  return existsSync(setting) && Number(readFileSync(setting, 'utf8')) > 28
}

for (const mode of modes) {
  const object = await makeCore(mode)
  const binaries = await Promise.all(
    tests.map((test) =>
      make(`${basename(test, '.cc')}.${mode}`, (made) =>
        compile(mode, [join(native, 'test', test), object, '-o', made]),
      ),
    ),
  )
  for (const binary of binaries) {
    const [command, ...args] = mode === 'tsan' && fixedAddresses() ? ['setarch', '-R', binary] : [binary]
    run(command, args, runTimeout)
  }
}
