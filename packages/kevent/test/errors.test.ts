import { expect, test } from 'vitest'
import { EVFILT_READ, EVFILT_USER, EV_ADD, EV_DELETE, KEventError, KEventList } from '../src/index.ts'
import { codeOf, newQueue, refused } from './fixtures/queue.ts'

test('an error has code, errno, syscall and a sentence that says what to do', () => {
  const error = new KEventError(-2, 'kevent')
  expect(error).toMatchObject({ name: 'KEventError', code: 'ENOENT', errno: -2, syscall: 'kevent' })
  expect(error.message).toContain('add it with EV_ADD')
  expect(new KEventError(-11, 'kevent').message).toBe('kevent: EAGAIN, resource temporarily unavailable')
  expect(new KEventError(-4095, 'kevent').code).toBe('EOF') // libuv's own numbers have names too
  expect(new KEventError(-3333, 'kevent').code).toBe('E3333')
})

test('instanceof holds between two copies of the package', async () => {
  const path = '../src/errors.ts?copy'
  const copy = (await import(/* @vite-ignore */ path)) as { KEventError: typeof KEventError }
  expect(copy.KEventError).not.toBe(KEventError)
  expect(new copy.KEventError(-9, 'kevent')).toBeInstanceOf(KEventError)
  expect(new Error('other')).not.toBeInstanceOf(KEventError)
  expect(null).not.toBeInstanceOf(KEventError)
})

test('a change that does not fit a record is EINVAL, and none of its list is applied', () => {
  const kq = newQueue()
  const good = { ident: 1, filter: EVFILT_USER, flags: EV_ADD }
  const wrong = [
    { ident: 0.5, filter: EVFILT_READ },
    { ident: 1, filter: 0x8000 },
    { ident: 1, filter: EVFILT_READ, flags: 0x10000 },
    { ident: 1, filter: EVFILT_READ, flags: -1 },
    { ident: 1, filter: EVFILT_READ, fflags: 2 ** 32 },
    { ident: 1, filter: EVFILT_READ, data: Infinity },
    { ident: 1, filter: EVFILT_READ, udata: 'text' as unknown as number },
    { ident: 1, filter: EVFILT_READ, flag: EV_DELETE },
  ]
  for (const bad of wrong) expect(refused(kq, good, bad)).toBe('EINVAL')
  expect(kq.list()).toEqual([])
})

test('lists that are too short are EINVAL', () => {
  const kq = newQueue()
  const list = new KEventList(2)
  expect(codeOf(() => kq.keventList(list, 3, null, 0))).toBe('EINVAL')
  expect(codeOf(() => kq.keventList(null, 0, list, 3))).toBe('EINVAL')
  expect(codeOf(() => kq.keventList(null, -1, list, 1, 0))).toBe('EINVAL')
})
