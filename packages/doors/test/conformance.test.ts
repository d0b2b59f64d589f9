import { fileURLToPath } from 'node:url'
import { claimedCases, coverageOf, placesOf } from '@x/conformance'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What doors of Solaris do, case by case. */
const cases = Array.from({ length: 125 }, (_, index) => String(index + 1))

/**
 * Every fourth case of the list has no words. This is what each is taken to be, by the cases beside it; the tests with
 * its number are of that.
 */
const supposed: Readonly<Record<string, string>> = {
  4: 'attributes that are told and not asked for (DOOR_LOCAL, DOOR_REVOKED, DOOR_IS_UNREF): EINVAL',
  8: 'a new door has the attributes that were asked for, and no limits',
  12: 'a parameter that is set is got, and holds for the next call',
  16: 'parameters of a revoked door are got, and setting one is EBADF',
  20: 'door_xcreate returns when all its threads are bound',
  24: 'detach of what is not attached is EINVAL; opens that were made before stay',
  28: 'attach of a second door at the same path: EBUSY',
  32: 'open of a name without permission: EACCES',
  36: 'names by relative paths and symbolic links',
  40: 'a reply of another size than the call; DATA_MAX is of calls alone',
  44: 'a reply that does not fit into the caller’s buffer comes in memory of its own',
  48: 'many clients in many processes at once, each with its own answers',
  52: 'calls at DATA_MIN, DATA_MAX and DESC_MAX themselves are let through',
  56: 'a caller that takes no results (no door_arg_t): E2BIG for a server that has some',
  60: 'door_info of a revoked door, and of what is closed',
  64: 'user and groups of a caller that has others than the server',
  68: 'a descriptor without DOOR_RELEASE stays the sender’s, and shares its offset',
  72: 'DOOR_RELEASE of a reply, and of one that nobody waits for; what comes is close-on-exec',
  76: 'a door that gives its own descriptor: one more reference',
  80: 'descriptors that the procedure leaves alone are closed',
  84: 'a client that is closed while its call runs: EINTR',
  88: 'a server that exits by itself in a call: EINTR',
  92: 'what is left of a revoked door: no name, no descriptor, EBADF',
  96: 'the main thread serves no call of a pool, and idle threads are kept',
  100: 'bind to a door that is not private, and unbind of what is not bound: EINVAL, EBADF',
  104: 'the third example of Stevens: three clients in the procedure while the name is removed',
  108: 'the notification waits for the calls that run',
  112: 'no notification of a revoked door',
  116: 'one of two names is no loss, by whomever it is removed',
  120: 'the last name and the last open that go together are one loss',
  124: 'another version of the protocol, or of the page',
}

const notApplicable: Readonly<Record<string, string>> = {
  56: 'a call always takes results: a caller has no buffer of a fixed size, so nothing can be too big for it',
}

const places = placesOf(String.raw`\d+`)
const claimed = claimedCases(root, places)

test('every case that a test names is one of the list', () => {
  expect([...claimed].filter((name) => !cases.includes(name))).toEqual([])
})

test('every case of the list has a test, or a reason why it does not apply', () => {
  expect(coverageOf(cases, claimed, notApplicable)).toEqual({ missing: [], needless: [] })
})

test('every case without words has some here', () => {
  expect(Object.keys(supposed)).toEqual(cases.filter((name) => Number(name) % 4 === 0))
})
