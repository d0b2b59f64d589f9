#!/usr/bin/env node
// native-test [asan|tsan|ubsan …]: compiles native/test/*_test.cc of the package in the working directory,
// together with its core (every native/*.cc that is not the addon), under each sanitizer, and runs them.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'

const flags = {
  asan: ['-fsanitize=address', '-fno-sanitize-recover=all'],
  tsan: ['-fsanitize=thread'],
  ubsan: ['-fsanitize=undefined', '-fno-sanitize-recover=all'],
}
const wanted = process.argv.slice(2)
const modes = wanted.length > 0 ? wanted : Object.keys(flags)
const compiler = process.env.CXX ?? 'g++'
const native = resolve('native')
const out = join(native, 'build/test')
mkdirSync(out, { recursive: true })

const core = readdirSync(native).filter((name) => name.endsWith('.cc') && !name.startsWith('addon'))
const tests = readdirSync(join(native, 'test')).filter((name) => name.endsWith('_test.cc'))

const run = (command, args) => {
  const { status, signal } = spawnSync(command, args, {
    stdio: 'inherit',
    env: { ...process.env, TSAN_OPTIONS: 'halt_on_error=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  })
  if (status !== 0) {
    process.stderr.write(`native-test: ${command} ended with ${signal ?? status}\n`)
    process.exit(1)
  }
}

for (const mode of modes) {
  if (!(mode in flags)) {
    process.stderr.write(`native-test: no sanitizer ${mode}; choose from ${Object.keys(flags).join(', ')}\n`)
    process.exit(2)
  }
  for (const test of tests) {
    const binary = join(out, `${basename(test, '.cc')}.${mode}`)
    const inputs = [join(native, 'test', test), ...core.map((name) => join(native, name))]
    run(compiler, ['-std=c++20', '-O1', '-g', '-Wall', '-Wextra', '-Werror', ...flags[mode], `-I${native}`, ...inputs, '-o', binary, '-pthread'])
    run(binary, [])
  }
}
