import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseByteRange } from '../src/handlers/static-files/byte-range.ts'

test.each([
  ['bytes=0-9', { offset: 0, length: 10 }],
  ['bytes=90-', { offset: 90, length: 10 }],
  ['bytes=90-1000', { offset: 90, length: 10 }],
  ['bytes=-10', { offset: 90, length: 10 }],
  ['bytes=-1000', { offset: 0, length: 100 }],
  ['Bytes= 5-5 ', { offset: 5, length: 1 }],
])('%s of 100 bytes', (field, range) => {
  expect(parseByteRange(field, 100)).toEqual(range)
})

test.each(['bytes=100-', 'bytes=-0', 'bytes=100-200'])('%s of 100 bytes is unsatisfiable', (field) => {
  expect(parseByteRange(field, 100)).toBe('unsatisfiable')
})

test.each([
  undefined,
  '',
  'bytes=',
  'bytes=-',
  'bytes=9-5',
  'bytes=0-1,5-6',
  'lines=0-5',
  'bytes=a-b',
  'bytes=0x1-2',
])('%s is ignored', (field) => {
  expect(parseByteRange(field, 100)).toBeUndefined()
})

test('a range is never outside of the representation', () => {
  const digits = fc.oneof(
    fc.constant(''),
    fc.nat().map(String),
    fc.bigInt({ min: 0n, max: 10n ** 30n }).map(String),
  )
  fc.assert(
    fc.property(digits, digits, fc.nat(1000), (first, last, size) => {
      const range = parseByteRange(`bytes=${first}-${last}`, size)
      if (typeof range !== 'object') return
      expect(range.offset).toBeGreaterThanOrEqual(0)
      expect(range.length).toBeGreaterThan(0)
      expect(range.offset + range.length).toBeLessThanOrEqual(size)
    }),
  )
})
