import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EVFILT_USER, EV_ADD, KEventList, NOTE_FFCOPY, NOTE_TRIGGER } from '../src/index.ts'
import { codeOf, newQueue } from './fixtures/queue.ts'

const record = fc.record({
  ident: fc.maxSafeInteger(),
  filter: fc.integer({ min: -0x8000, max: 0x7fff }),
  flags: fc.integer({ min: 0, max: 0xffff }),
  fflags: fc.integer({ min: 0, max: 0xffffffff }),
  data: fc.maxSafeInteger(),
  udata: fc.double(),
})

test('what is set is what is read, at every index', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 9 }), (records) => {
      const list = new KEventList(records.length)
      for (const [index, { ident, filter, flags, fflags, data, udata }] of records.entries()) {
        list.set(index, ident, filter, flags, fflags, data, udata)
      }
      expect(list.toArray(records.length)).toEqual(records)
    }),
  )
})

test("the layout is FreeBSD's struct kevent, little endian, 32 bytes a record", () => {
  const list = new KEventList(1)
  list.set(0, -2, -7, 0x8001, 0xc0000001, 2 ** 40 + 3, 0.5)
  const view = new DataView(list.bytes.buffer)
  expect(KEventList.RECORD).toBe(32)
  expect(view.getBigInt64(0, true)).toBe(-2n)
  expect(view.getInt16(8, true)).toBe(-7)
  expect(view.getUint16(10, true)).toBe(0x8001)
  expect(view.getUint32(12, true)).toBe(0xc0000001)
  expect(view.getBigInt64(16, true)).toBe(2n ** 40n + 3n)
  expect(view.getFloat64(24, true)).toBe(0.5)
})

test('a list over shared memory, one list for changes and events', () => {
  const kq = newQueue()
  const list = new KEventList(new SharedArrayBuffer(64))
  expect(list.capacity).toBe(2)
  list.set(0, 5, EVFILT_USER, EV_ADD, NOTE_TRIGGER | NOTE_FFCOPY | 9, 77, 1.25)
  expect(kq.keventList(list, 1, list, 2, 0)).toBe(1)
  expect(list.at(0)).toEqual({ ident: 5, filter: EVFILT_USER, flags: 0, fflags: 9, data: 77, udata: 1.25 })
})

test('a length that is no multiple of a record is refused', () => {
  expect(() => new KEventList(new ArrayBuffer(33))).toThrow(RangeError)
  expect(() => new KEventList(0)).toThrow(RangeError)
  expect(() => new KEventList(1.5)).toThrow(RangeError)
})

test('a list whose memory was transferred to another thread is EINVAL', () => {
  const memory = new ArrayBuffer(64)
  const list = new KEventList(memory)
  structuredClone(memory, { transfer: [memory] })
  const kq = newQueue()
  expect(codeOf(() => kq.keventList(list, 1, null, 0))).toBe('EINVAL')
  expect(codeOf(() => kq.keventList(null, 0, list, 1, 0))).toBe('EINVAL')
})
