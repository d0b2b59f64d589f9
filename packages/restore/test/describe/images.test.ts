import { expect, test } from 'vitest'
import { describeImages } from '../../src/describe/images.ts'
import { imageJson } from '../../src/describe/image-json.ts'
import {
  FileLockEntrySchema,
  makeMessage,
  PipeDataEntrySchema,
  ScmEntrySchema,
  SkPacketEntrySchema,
} from '../../src/images/index.ts'
import { eventfd, plainSet } from '../fixtures/plain-set.ts'

test('each descriptor is told in words, with who shares it', () => {
  const shared = eventfd(1, 7n)
  const { processes, others, problems } = describeImages(
    plainSet([
      { pid: 81, descriptors: { 3: shared, 4: shared } },
      { pid: 82, parent: 81, descriptors: { 5: shared } },
    ]),
  )
  expect([others, problems]).toEqual([[], []])
  expect(processes).toMatchObject([
    { pid: 81, parent: undefined, descriptors: [{ fd: 3 }, { fd: 4 }] },
    { pid: 82, parent: 81, descriptors: [{ fd: 5 }] },
  ])
  expect(processes[1]!.descriptors[0]).toEqual({
    fd: 5,
    cloexec: false,
    file: 1,
    words: 'eventfd that counts 7',
    details: [],
    sharedWith: [
      { pid: 81, fd: 3 },
      { pid: 81, fd: 4 },
    ],
  })
})

test('files in flight are in no table, and what waits in a socket is told', () => {
  const set = plainSet([{ pid: 81, descriptors: { 3: eventfd(1) } }], [eventfd(2)])
  const packet = (rights: number[]): object =>
    makeMessage(SkPacketEntrySchema, {
      idFor: 1,
      length: 0,
      scm: rights.length === 0 ? [] : [makeMessage(ScmEntrySchema, { type: 1, rights })],
    })
  const packets = [packet([2]), packet([])].map((entry) => ({
    entry: entry as never,
    data: new Uint8Array(),
  }))
  const { processes, others } = describeImages({ ...set, packets })
  expect(others).toMatchObject([{ file: 2, words: 'eventfd that counts 2' }])
  expect(processes[0]!.descriptors[0]!.details).toEqual(['2 messages wait with 1 descriptor'])
})

test('locks are told with their process', () => {
  const locks = [
    { flag: 1, type: 1, pid: 81, fd: 3, start: 2n, len: 5n },
    { flag: 8, type: 4, pid: 81, fd: 3, start: 0n, len: 0n },
  ].map((init) => makeMessage(FileLockEntrySchema, init))
  const { processes } = describeImages({ ...plainSet([{ pid: 81, descriptors: { 3: eventfd(1) } }]), locks })
  expect(processes[0]!.locks).toEqual([
    'POSIX lock to write by descriptor 3, 5 bytes from 2 on',
    'lease to read by descriptor 3, being broken',
  ])
})

test('an image as data has the names of its fields, and only those that are there', () => {
  const message = makeMessage(PipeDataEntrySchema, { pipeId: 7, bytes: 2 })
  expect(imageJson({ format: 'PIPES_DATA', records: [{ message, payloads: [Buffer.from('hi')] }] })).toEqual({
    magic: 'PIPES_DATA',
    entries: [{ pipe_id: 7, bytes: 2, extra: 'aGk=' }],
  })
  const part = { path: 'x', offset: 4, length: 2 }
  expect(
    imageJson({ format: 'PIPES_DATA', records: [{ message, payloads: [part] }] }).entries[0],
  ).toMatchObject({
    extra: part,
  })
})

test('numbers of 64 bits that a double does not have are bigints', () => {
  const message = eventfd(1, 2n ** 64n - 1n)
  expect(imageJson({ format: 'FILES', records: [{ message, payloads: [] }] }).entries[0]).toMatchObject({
    type: 'EVENTFD',
    efd: { counter: 2n ** 64n - 1n, fown: { pid_type: 0 } },
  })
})
