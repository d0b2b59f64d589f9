import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { newFolder } from './fixtures/disposal.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const path = `${root}examples/readme.js`

test('the first example of the README is examples/readme.js', () => {
  const readme = readFileSync(`${root}README.md`, 'utf8')
  expect(/```js\n(.*?)```/s.exec(readme)?.[1]).toBe(readFileSync(path, 'utf8'))
})

test('it runs, and ends by itself', async () => {
  const door = join(newFolder(), 'square')
  const child = spawn(process.execPath, [path, door], { timeout: 20_000 })
  const exited = once(child, 'exit')
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect(stderr).toBe('')
  expect(stdout).toMatch(
    new RegExp(`^144, said ${String(child.pid)} to \\d+\nnobody has the door any more\n$`),
  )
  expect(await exited).toEqual([0, null])
  expect(existsSync(door)).toBe(false)
})
