import { expect, test } from 'vitest'
import {
  evaluatePreconditions,
  httpDate,
  rangeStillApplies,
} from '../src/handlers/static-files/preconditions.ts'

const modified = Date.parse('2024-02-29T12:00:00.700Z')
const same = 'Thu, 29 Feb 2024 12:00:00 GMT'
const earlier = 'Thu, 29 Feb 2024 11:59:59 GMT'
const etag = 'W/"5-abc"'
const none = {
  ifMatch: undefined,
  ifNoneMatch: undefined,
  ifModifiedSince: undefined,
  ifUnmodifiedSince: undefined,
}

test.each([
  [{}, 'proceed'],
  [{ ifNoneMatch: etag }, 'not-modified'],
  [{ ifNoneMatch: '"5-abc"' }, 'not-modified'],
  [{ ifNoneMatch: '"x", W/"5-abc" , "y"' }, 'not-modified'],
  [{ ifNoneMatch: '*' }, 'not-modified'],
  [{ ifNoneMatch: '"x"' }, 'proceed'],
  [{ ifNoneMatch: '5-abc' }, 'proceed'],
  [{ ifNoneMatch: '"x"', ifModifiedSince: same }, 'proceed'],
  [{ ifModifiedSince: same }, 'not-modified'],
  [{ ifModifiedSince: earlier }, 'proceed'],
  [{ ifModifiedSince: 'yesterday' }, 'proceed'],
  [{ ifModifiedSince: '1' }, 'proceed'],
  [{ ifMatch: '*' }, 'proceed'],
  [{ ifMatch: etag }, 'failed'],
  [{ ifMatch: '*', ifNoneMatch: etag }, 'not-modified'],
  [{ ifUnmodifiedSince: earlier }, 'failed'],
  [{ ifUnmodifiedSince: same }, 'proceed'],
  [{ ifMatch: '*', ifUnmodifiedSince: earlier }, 'proceed'],
] as const)('%j: %s', (fields, outcome) => {
  expect(evaluatePreconditions({ ...none, ...fields }, { etag, modified })).toBe(outcome)
})

test('all three forms of a date are read (RFC 9110, section 5.6.7)', () => {
  for (const date of [same, 'Thursday, 29-Feb-24 12:00:00 GMT', 'Thu Feb 29 12:00:00 2024']) {
    expect(evaluatePreconditions({ ...none, ifModifiedSince: date }, { etag, modified }), date).toBe(
      'not-modified',
    )
  }
})

test('a range counts beside If-Range only for the same date, well in the past', () => {
  const now = modified + 60_000
  expect(rangeStillApplies(undefined, modified, now)).toBe(true)
  expect(rangeStillApplies(httpDate(modified), modified, now)).toBe(true)
  expect(rangeStillApplies(httpDate(modified), modified, modified + 500)).toBe(false)
  expect(rangeStillApplies(earlier, modified, now)).toBe(false)
  expect(rangeStillApplies(etag, modified, now)).toBe(false)
})
