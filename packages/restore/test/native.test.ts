import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

for (const sanitizer of ['asan-ubsan', 'tsan']) {
  test(`the core is clean under ${sanitizer}`, { timeout: 600_000 }, () => {
    const { status, stdout, stderr } = spawnSync('node_modules/.bin/native-test', [sanitizer], {
      cwd: root,
      encoding: 'utf8',
    })
    expect(status, stdout + stderr).toBe(0)
  })
}
