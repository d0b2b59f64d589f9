import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const example = readFileSync(`${root}examples/readme.js`, 'utf8')

test('the first example of the README is examples/readme.js', () => {
  const readme = readFileSync(`${root}README.md`, 'utf8')
  expect(/```js\n(.*?)```/s.exec(readme)?.[1]).toBe(example)
})

test('it runs, and ends by itself', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['examples/readme.js'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 20_000,
  })
  expect(stderr).toBe('')
  expect(stdout).toMatch(/^(thread \d: tick\n)+$/)
  expect(status).toBe(0)
})
