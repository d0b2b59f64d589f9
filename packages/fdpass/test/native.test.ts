import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

const run = (tool: string, argument: string): void => {
  const { status, stdout, stderr } = spawnSync(`node_modules/.bin/${tool}`, [argument], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(status, stdout + stderr).toBe(0)
}

for (const sanitizer of ['asan-ubsan', 'tsan']) {
  test(`the core is clean under ${sanitizer}`, { timeout: 600_000 }, () => {
    run('native-test', sanitizer)
  })
}

const clang = process.env.CI !== undefined || spawnSync('clang++', ['--version']).status === 0
test.runIf(clang)('no control buffer leads the parser astray (needs clang++)', { timeout: 600_000 }, () => {
  run('native-fuzz', '5')
})
