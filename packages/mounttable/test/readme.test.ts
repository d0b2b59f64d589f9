import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

const readme = await readFile(at('../README.md'), 'utf8')
const [short = '', withWorker = ''] = [...readme.matchAll(/```js\n([^]*?)```/g)].map(([, code = '']) => code)

test("the README's first example is short, and prints what the README says", async () => {
  expect(short.trim().split('\n').length).toBeLessThanOrEqual(15)
  const run = promisify(execFile)
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', short], { cwd: at('..') })
  expect(stdout).toBe('Hello, world / Good day, world\ngeneration 1 is not used any more\n')
  for (const line of stdout.trim().split('\n')) expect(readme).toContain(`\`${line}\``)
})

test("the README's example with a worker is the one in examples, and does what it says", async () => {
  const example = await readFile(at('../examples/readme.js'), 'utf8')
  expect(withWorker).toBe(example)
  const { stdout } = await promisify(execFile)(process.execPath, [at('../examples/readme.js')])
  expect(stdout.split('\n').sort()).toEqual([
    '',
    'Good day, world',
    'Hello, world',
    'nobody says Hello any more',
  ])
})
