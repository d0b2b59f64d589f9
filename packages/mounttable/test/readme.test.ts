import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

test("the README's example is the one in examples, and does what it says", async () => {
  const [readme, example] = await Promise.all([
    readFile(at('../README.md'), 'utf8'),
    readFile(at('../examples/readme.js'), 'utf8'),
  ])
  expect(/```js\n([^]*?)```/.exec(readme)?.[1]).toBe(example)
  const { stdout } = await promisify(execFile)(process.execPath, [at('../examples/readme.js')])
  expect(stdout.split('\n').sort()).toEqual([
    '',
    'Good day, world',
    'Hello, world',
    'nobody says Hello any more',
  ])
})
