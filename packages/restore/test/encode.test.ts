import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeProgram } from '../src/program/encode.ts'
import { CODE, FLAG } from '../src/program/op.ts'
import { Builder, blob, pidOf, scratch, slot } from './fixtures/builder.ts'
import { journalProgram } from './fixtures/journal-program.ts'

const HEADER_SIZE = 88
const OP_SIZE = 112
const ARGUMENTS_AT = 64

/** The bytes of one operation, wherever it stands. */
const opOf = (bytes: Buffer, index: number): Buffer => {
  const count = bytes.readUInt32LE(12)
  const opsAt = Number(bytes.readBigUInt64LE(40))
  for (let place = 0; place < count; place++) {
    const op = bytes.subarray(opsAt + place * OP_SIZE, opsAt + (place + 1) * OP_SIZE)
    if (op.readUInt32LE(8) === index) return op
  }
  throw new Error(`there is no operation ${index}`)
}

test('the operations of a task stand together, in the order of the list', () => {
  const { tasks, ops } = journalProgram('/nowhere')
  const bytes = encodeProgram(journalProgram('/nowhere'))
  const opsAt = Number(bytes.readBigUInt64LE(40))
  let place = 0
  for (const task of tasks.keys()) {
    expect(bytes.readUInt32LE(HEADER_SIZE + task * 16 + 8)).toBe(place)
    for (const [index, op] of ops.entries()) {
      if (op.task !== task) continue
      expect(bytes.readUInt32LE(opsAt + place * OP_SIZE + 8)).toBe(index)
      place++
    }
    const count = bytes.readUInt32LE(HEADER_SIZE + task * 16 + 12)
    expect(count).toBe(ops.filter((op) => op.task === task).length)
  }
})

test('every 64-bit argument is encoded as it is', () => {
  const value = fc.oneof(
    fc.maxSafeInteger(),
    fc.integer(),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.constantFrom(0, -1, 2 ** 31, -(2 ** 31), 2 ** 32, -(2 ** 32), 2 ** 32 - 1),
  )
  fc.assert(
    fc.property(value, (argument) => {
      const builder = new Builder()
      builder.call(0, 'umask', [argument])
      const op = opOf(encodeProgram(builder.program), 0)
      expect(op.readBigInt64LE(ARGUMENTS_AT)).toBe(BigInt.asIntN(64, BigInt(argument)))
    }),
  )
})

test('every index is checked', () => {
  const { program } = new Builder()
  const op = { code: CODE.syscall, task: 0, unit: 0, args: [] }
  const refused = [
    { ...program, tasks: [] },
    { ...program, slots: 99 },
    { ...program, ops: [{ ...op, task: 1 }] },
    { ...program, ops: [{ ...op, task: -1 }] },
    { ...program, ops: [{ ...op, code: 99 }] },
    { ...program, ops: [{ ...op, flags: 64 }] },
    { ...program, ops: [{ ...op, flags: FLAG.out, out: 0 }] },
    { ...program, ops: [{ ...op, number: -2 }] },
    { ...program, ops: [{ ...op, args: [slot(0)] }] },
    { ...program, ops: [{ ...op, args: [blob(99)] }] },
    { ...program, ops: [{ ...op, args: [pidOf(1)] }] },
    { ...program, ops: [{ ...op, args: [scratch(64 * 1024)] }] },
    { ...program, ops: [{ ...op, args: [{ kind: 9, value: 0 }] }] },
    { ...program, ops: [{ ...op, args: [{ kind: 0, value: 0.5 }] }] },
    { ...program, ops: [{ ...op, flags: FLAG.undo }] },
    { ...program, ops: [op], undo: [{ op: 0, until: 0xffffffff, kind: 0, a: 0, b: 0 }] },
    { ...program, ops: [{ ...op, flags: FLAG.undo }], undo: [{ op: 0, until: 0, kind: 0, a: 0, b: 0 }] },
    { ...program, reserved: [3, 3] },
    { ...program, tasks: [{ pid: 0, targets: [2, 1] }] },
  ]
  for (const one of refused) {
    expect(() => encodeProgram(one)).toThrow(expect.objectContaining({ code: 'EINVAL' }) as Error)
  }
  expect(encodeProgram(program).length).toBeGreaterThan(HEADER_SIZE)
})
