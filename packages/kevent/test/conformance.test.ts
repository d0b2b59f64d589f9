import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The numbered cases: F flags, C calls, L level, D dispatch, O forced one-shot, R re-add, W read and write, … */
const numbered: Readonly<Record<string, string>> = {
  F: '1 2 4 5 7 8 10 11 13 14',
  C: '1 2 4 5 7 8 10 11 13 14 16 17 19',
  L: '1 3 4 6 7 9 10',
  D: '1 2 4 5 7 8 10 11 13 14 16 17 19 20',
  O: '2 3 5 6 8 9 11 12 14 15 17 18',
  R: '1 2 4 5',
  W: '1 2 4 5 7 8 10 11 13 14 16 17 19 20 22 23',
  M: '2 3',
  X: '2 3 5 6 8 9',
  N: '1 2 4 5',
  U: '1 2 4 5 7 8 10 11 13',
  T: '1 3 4 6 7 9 10 12 13 15 16',
  S: '2 3 5 6',
  P: '2 3 5',
  V: '1 3 4 6 7 9',
}
const cases = Object.entries(numbered).flatMap(([letter, numbers]) =>
  numbers.split(' ').map((number) => letter + number),
)
/** Numbers by which stresses and lifetimes are known elsewhere. */
const others = ['M1', 'X1', 'X4', 'X7']

const notApplicable: Readonly<Record<string, string>> = {
  S6: 'Linux gives a signal to its handler and to a signalfd in an order of its own',
  V9: 'Linux has no revoke(2), and inotify tells of an unmount without a file to tell it of',
}

/** Titles of tests in TypeScript, first words of comments of tests of the core. */
const titles = (folder: string, pattern: RegExp): string[] =>
  readdirSync(root + folder)
    .filter((name) => /(\.test\.ts|_test\.cc)$/.test(name))
    .flatMap((name) => [...readFileSync(`${root}${folder}/${name}`, 'utf8').matchAll(pattern)])
    .flatMap(([, numbers = '']) => numbers.split(', '))

test('every case that a test names is one of the list', () => {
  const claimed = new Set([
    ...titles('test', /\btest\(\s*['"`]([A-Z]\d+(?:, [A-Z]\d+)*):/g),
    ...titles('native/test', /^\/\/ ([A-Z]\d+(?:, [A-Z]\d+)*):/gm),
  ])
  expect([...claimed].filter((name) => !cases.includes(name) && !others.includes(name))).toEqual([])
  expect(Object.keys(notApplicable).filter((name) => claimed.has(name))).toEqual([])
  const tested = cases.filter((name) => claimed.has(name))
  const missing = cases.filter((name) => !claimed.has(name) && !(name in notApplicable))
  console.log(
    `${cases.length} cases: ${tested.length} tested, ${missing.length} without a test ${missing.join(' ')}`,
  )
  for (const [name, reason] of Object.entries(notApplicable))
    console.log(`not applicable: ${name}: ${reason}`)
})
