import fc from 'fast-check'
import * as v from 'valibot'
import { expect, test } from 'vitest'
import { issueLines, strictObject, text, wholeNumber } from '../src/config/strict-object.ts'

const schema = strictObject({ size: wholeNumber('a size', 1, 9), name: v.exactOptional(text('a name')) })

function lines(input: unknown): string[] {
  const parsed = v.safeParse(schema, input)
  return parsed.success ? [] : issueLines(parsed.issues)
}

test('exactly the known keys are taken', () => {
  expect(v.parse(schema, { size: 3 })).toEqual({ size: 3 })
  expect(lines({ size: 3, name: 'a' })).toEqual([])
  expect(lines({ sise: 3, nmae: 'a' })).toEqual([
    'size: is missing; add it',
    'sise: is not a known key; use size, name',
    'nmae: is not a known key; use size, name',
  ])
})

test.each([[null], [[]], [3], ['a'], [undefined]])('%j is not an object', (input) => {
  expect(lines(input)).toEqual([
    expect.stringContaining('is not an object; write { … } with the keys size, name'),
  ])
})

test('whatever comes in, it is either taken or refused in words', () => {
  fc.assert(
    fc.property(fc.anything(), (input) => {
      for (const line of lines(input)) expect(line).not.toBe('')
    }),
  )
})
