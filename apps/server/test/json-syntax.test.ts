import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findJsonSyntaxProblem } from '../src/config/json-syntax.ts'

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test.each([
  ['', 1, 1, 'the end of the file'],
  ['{', 1, 2, 'the end of the file'],
  ['{\n  "port": 80,\n}', 3, 1, '"}"'],
  ['{\n  // a comment\n}', 2, 3, '"/"'],
  ['{"port" 80}', 1, 9, '"80"'],
  ['{"a": tru}', 1, 7, '"tru"'],
  ['[1, 2] 3', 1, 8, '"3"'],
  ['{"a": "unfinished', 1, 7, '"\\""'],
  ["{'a': 1}", 1, 2, '"\'"'],
])('%j goes wrong in line %i, column %i, at %s', (text, line, column, found) => {
  expect(findJsonSyntaxProblem(text)).toEqual({ line, column, found })
})

test('what is JSON has no problem', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(findJsonSyntaxProblem(text)).toBeUndefined()
    }),
  )
})

test('a damaged text has a problem exactly if JSON.parse refuses it', () => {
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '0',
    '-',
    '.',
    'e',
    ' ',
    '\n',
    'null',
    '\u0001',
  )
  const damaged = fc.tuple(fc.json(), fc.nat(), fc.nat(3), piece).map(([text, at, cut, put]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + put + text.slice(place + cut)
  })
  fc.assert(
    fc.property(damaged, (text) => {
      expect(findJsonSyntaxProblem(text) === undefined).toBe(parses(text))
    }),
    { numRuns: 2000 },
  )
})

test('deep nesting does not overflow the stack', () => {
  const deep = '['.repeat(200_000)
  expect(findJsonSyntaxProblem(deep)).toMatchObject({ line: 1, column: 200_001 })
  expect(findJsonSyntaxProblem(deep + ']'.repeat(200_000))).toBeUndefined()
})
