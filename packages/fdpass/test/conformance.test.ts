import { fileURLToPath } from 'node:url'
import { claimedCases, coverageOf, placesOf } from '@x/conformance'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

const upTo = (last: number, prefix = ''): string[] =>
  Array.from({ length: last }, (_, index) => `${prefix}${index + 1}`)

/** B1: facts about the kernel. 1 to 113: cases of CPython, uds, nix, sendfd, passfd, Go and usocket. */
const cases = [...upTo(23, 'B1.'), ...upTo(113)]

const scatter =
  'what is received is one Buffer of the right size: there are no lists of buffers to scatter it to'
const controlMessages =
  'descriptors and credentials are arguments; nobody can say control messages of their own, good or bad'

const notApplicable: Readonly<Record<string, string>> = {
  'B1.22': 'it needs a security module that denies, and the kernel says it by MSG_CTRUNC, like B1.9',
  'B1.23': 'the kernel that the list was made on has no such field, and nothing here asks for it',
  25: controlMessages,
  26: controlMessages,
  27: controlMessages,
  43: scatter,
  44: scatter,
  45: scatter,
  46: scatter,
  76: 'there is no call for SO_PEERSEC: who the peer is, is told by process, user, group and pidfd',
  80: scatter,
  82: scatter,
}

const places = placesOf(String.raw`(?:B1\.)?\d+`)
const claimed = claimedCases(root, places)

test('every case that a test names is one of the list', () => {
  expect([...claimed].filter((name) => !cases.includes(name))).toEqual([])
})

test('every case of the list has a test, or a reason why it does not apply', () => {
  expect(coverageOf(cases, claimed, notApplicable)).toEqual({ missing: [], needless: [] })
})

test('titles are seen in test, describe and test.each, and not where they are skipped', () => {
  const source = `test('1: a', () => {}); describe("B1.2, 3: b"); test.each([['x', 1]])('4: %s', f)
    test(
      \`B1.5: \${mode}\`, { timeout })
    test.skip('6: c'); test.todo('7: d'); test('without a number'); test('it is not 8: e'); test('9 is none')`
  expect([...source.matchAll(places.title)].map(([, numbers]) => numbers)).toEqual([
    '1',
    'B1.2, 3',
    '4',
    'B1.5',
  ])
})
