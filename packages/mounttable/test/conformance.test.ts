import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('.', import.meta.url))

/** The numbered cases of a mount table. */
const cases = Array.from({ length: 76 }, (_, index) => index + 1)

/** Cases that a title need not name, and where they are. */
const elsewhere: Readonly<Record<number, string>> = {
  75: 'histories are recorded and checked by the stress, which is run by itself',
  76: 'the same suite with other flags of the engine: a matter of the run, not of a test',
}

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

test('every case has a test or a place, and every number is that of a case', () => {
  const claimed = new Set([...titles('.'), ...titles('stress')])
  expect([...claimed].filter((number) => !cases.includes(number))).toEqual([])
  const tested = cases.filter((number) => claimed.has(number))
  const missing = cases.filter((number) => !claimed.has(number) && !(number in elsewhere))
  console.log(`${cases.length} cases: ${tested.length} named by tests`)
  for (const [number, place] of Object.entries(elsewhere)) {
    if (!claimed.has(Number(number))) console.log(`${number}: ${place}`)
  }
  expect(missing).toEqual([])
})
