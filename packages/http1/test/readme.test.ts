import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const at = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

describe('the example of the README', () => {
  it('is the file in examples, byte by byte', () => {
    const block = /```js\n([\s\S]*?)```/.exec(readFileSync(at('README.md'), 'utf8'))
    expect(block?.[1]).toBe(readFileSync(at('examples/readme.js'), 'utf8'))
  })

  it('runs', () => {
    expect(execFileSync(process.execPath, [at('examples/readme.js')], { encoding: 'utf8' })).toBe(
      'hello /world\n',
    )
  })
})
