import * as v from 'valibot'
import { expect, test } from 'vitest'
import { hostSchema, mountName, prefixSchema } from '../src/config/mount-name.ts'

test.each(['/', '/a', '/a/b', '/a.b/~c', '/%C3%A9', '/é'])('%s is a prefix', (prefix) => {
  expect(v.parse(prefixSchema, prefix)).toBe(prefix)
})

test.each([
  ['', 'start it with a slash'],
  ['a/b', 'start it with a slash'],
  ['/a/', 'leave out the last slash'],
  ['//', 'leave out the last slash'],
  ['/a//b', 'single slashes'],
  ['/a/../b', 'without . and ..'],
  ['/a?b', 'leave out ?'],
  ['/a#b', 'leave out ?'],
  ['/a b', 'leave out ?'],
  ['/a\u0000', 'leave out ?'],
  ['/%4', 'two hexadecimal digits'],
  [`/${'x'.repeat(512)}`, 'at most 512 bytes'],
])('%j is not a prefix', (prefix, remedy) => {
  const parsed = v.safeParse(prefixSchema, prefix)
  expect(parsed.success).toBe(false)
  expect(parsed.issues?.[0].message).toContain(remedy)
})

test.each(['example.org', 'localhost', '127.0.0.1', '[::1]', 'a-b.c'])('%s is a host', (host) => {
  expect(v.parse(hostSchema, host)).toBe(host)
})

test('a host is compared without case', () => {
  expect(v.parse(hostSchema, 'Example.ORG')).toBe('example.org')
})

test.each(['', 'a:80', 'a/b', 'a b', '-a', '::1', 'a..b', 'http://a'])('%j is not a host', (host) => {
  expect(v.is(hostSchema, host)).toBe(false)
})

test('a mount is called by its host and prefix', () => {
  expect(mountName('/a')).toBe('/a')
  expect(mountName('/a', 'b.org')).toBe('b.org/a')
})
