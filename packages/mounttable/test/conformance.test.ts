import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('.', import.meta.url))

/** The numbered cases of a mount table. */
const cases = Array.from({ length: 76 }, (_, index) => index + 1)

/** Numbers at the beginning of titles: `7: …`, `11, 17: …`, `69-74: …`. */
function titles(folder: string): number[] {
  if (!existsSync(root + folder)) return []
  return readdirSync(root + folder)
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap((name) => [
      ...readFileSync(`${root}${folder}/${name}`, 'utf8').matchAll(/\(\s*['"`](\d+(?:(?:, |-)\d+)*): /g),
    ])
    .flatMap(([, numbers = '']) => numbers.split(', '))
    .flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, index) => first + index)
    })
}

test('every case has a test, and every number is that of a case', () => {
  const claimed = new Set([...titles('.'), ...titles('stress')])
  expect([...claimed].filter((number) => !cases.includes(number))).toEqual([])
  const tested = cases.filter((number) => claimed.has(number))
  const missing = cases.filter((number) => !claimed.has(number))
  console.log(`${cases.length} cases: ${tested.length} tested`)
  expect(missing).toEqual([])
})
