import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { loadHandler } from '../src/handlers/handler-module.ts'
import { ServedHandler } from './served-handler.ts'

const example = new URL('../examples/hello.js', import.meta.url)

test('the handler of the README is the one of the examples, and greets', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  expect(/^```js\n([^]*?)^```$/mu.exec(readme)?.[1]).toBe(readFileSync(example, 'utf8'))
  const handler = await loadHandler({ module: fileURLToPath(example) }, 1)
  await using served = await ServedHandler.start(handler)
  const { status, body } = await served.ask('/')
  expect([status, body.toString()]).toEqual([200, 'Hello, world, from generation 1 in worker 0.\n'])
})
