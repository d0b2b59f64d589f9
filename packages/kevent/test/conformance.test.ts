import { fileURLToPath } from 'node:url'
import { claimedCases, coverageOf, placesOf } from '@x/conformance'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The numbered cases: F flags, C calls, L level, D dispatch, O forced one-shot, R re-add, W read and write, … */
const numbered: Readonly<Record<string, string>> = {
  F: '1 2 4 5 7 8 10 11 13 14',
  C: '1 2 3 4 5 7 8 9 10 11 13 14 16 17 19',
  L: '1 3 4 6 7 9 10',
  D: '1 2 4 5 7 8 10 11 13 14 16 17 19 20',
  O: '2 3 5 6 8 9 11 12 14 15 17 18',
  R: '1 2 3 4 5',
  W: '1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23',
  M: '1 2 3',
  X: '1 2 3 4 5 6 7 8 9',
  N: '1 2 4 5',
  U: '1 2 4 5 6 7 8 10 11 13',
  T: '1 2 3 4 6 7 8 9 10 12 13 15 16',
  S: '2 3 5 6',
  P: '2 3 5',
  V: '1 3 4 6 7 9',
}
const cases = Object.entries(numbered).flatMap(([letter, numbers]) =>
  numbers.split(' ').map((number) => letter + number),
)

const notApplicable: Readonly<Record<string, string>> = {
  N5: 'Linux passes the descriptor of a queue on like any other, and asks nobody: what arrives is no queue',
  S6: 'Linux gives a signal to its handler and to a signalfd in an order of its own',
  V9: 'Linux has no revoke(2), and inotify tells of an unmount without a file to tell it of',
}

const places = placesOf(String.raw`[A-Z]\d+`)
const claimed = claimedCases(root, places)

test('every case that a test names is one of the list', () => {
  expect([...claimed].filter((name) => !cases.includes(name))).toEqual([])
})

test('every case of the list has a test, or a reason why it does not apply', () => {
  expect(coverageOf(cases, claimed, notApplicable)).toEqual({ missing: [], needless: [] })
})

test('titles are seen in test, describe and test.each, and not where they are skipped', () => {
  const source = `test('F1: a', () => {}); describe("F2, F3: b"); test.each([['x', 1]])('F4: %s', f)
    test(
      \`F5: \${mode}\`, { timeout })
    test.skip('G1: c'); test.todo('G2: d'); test('without a number'); test('it is not G3: e')`
  expect([...source.matchAll(places.title)].map(([, numbers]) => numbers)).toEqual([
    'F1',
    'F2, F3',
    'F4',
    'F5',
  ])
})
