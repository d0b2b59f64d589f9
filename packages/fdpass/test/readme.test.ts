import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const path = `${root}examples/readme.js`

test('the first example of the README is examples/readme.js', () => {
  const readme = readFileSync(`${root}README.md`, 'utf8')
  expect(/```js\n(.*?)```/s.exec(readme)?.[1]).toBe(readFileSync(path, 'utf8'))
})

test('it runs, and ends by itself', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [path], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  expect(stderr).toBe('')
  expect(stdout).toBe(`read this: a file of ${statSync(path).size} bytes\n`)
  expect(status).toBe(0)
})
