#!/usr/bin/env node
// native-fuzz [SECONDS]: compiles native/fuzz/*_fuzz.cc of the package in the working directory with its core, by
// clang's libFuzzer with AddressSanitizer and UBSan, and runs each for so long: 5 seconds, unless told.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { coreOf, list } from './sources.js'

const compileTimeout = 300_000

const fail = (status, message) => {
  process.stderr.write(`native-fuzz: ${message}\n`)
  process.exit(status)
}

const seconds = Number(process.argv[2] ?? 5)
if (!(seconds > 0)) fail(2, 'usage: native-fuzz [SECONDS]')
const compiler = process.env.CLANGXX ?? 'clang++'
if (spawnSync(compiler, ['--version']).status !== 0) {
  fail(3, `${compiler} not found; install with: apt-get install clang libclang-rt-14-dev`)
}

const native = resolve('native')
const folder = join(native, 'fuzz')
const core = coreOf(native)
const targets = list(folder, /_fuzz\.cc$/)
if (targets.length === 0) fail(2, `no native/fuzz/*_fuzz.cc in ${process.cwd()}`)

const run = (command, args, options) => {
  const { status, signal, error } = spawnSync(command, args, { stdio: 'inherit', ...options })
  if (status !== 0) fail(1, `${command} ended with ${error?.message ?? signal ?? status}`)
}

const out = join(native, 'build/fuzz')
mkdirSync(out, { recursive: true })
for (const target of targets) {
  const binary = join(out, `${process.pid}.${basename(target, '.cc')}`)
  // A crashing input is left in a folder of its own, whose name the output has.
  const found = mkdtempSync(join(tmpdir(), 'native-fuzz-'))
  const flags = ['-std=c++20', '-O1', '-g', '-pthread', `-I${native}`]
  const sanitizers = ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all']
  run(compiler, [...flags, ...sanitizers, join(folder, target), ...core, '-o', binary], {
    timeout: compileTimeout,
  })
  run(
    binary,
    [`-max_total_time=${seconds}`, '-max_len=2048', `-artifact_prefix=${found}/`, '-print_final_stats=1'],
    {
      timeout: (seconds + 60) * 1000,
    },
  )
  rmSync(binary)
  rmSync(found, { recursive: true })
}
