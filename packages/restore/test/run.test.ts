import { expect, test } from 'vitest'
import { Builder } from './fixtures/builder.ts'
import { isCloexec, numbersOf, parentOf, restore, statusOf, tableOf } from './fixtures/tasks.ts'

test('a task has exactly the descriptors that the program names', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.open(task, '/dev/null', { number: 7, cloexec: false })
  builder.pair(task, 'pipe2', { number: 4 }, { number: 3, cloexec: false })
  const zero = builder.open(task, '/dev/zero')
  builder.move(task, zero, 0)
  builder.copy(task, zero, 15_000, false)
  builder.sweep(task)

  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([0, 3, 4, 7, 15_000])
  const table = tableOf(pid)
  expect(table[0]).toBe('/dev/zero')
  expect(table[15_000]).toBe('/dev/zero')
  expect(table[7]).toBe('/dev/null')
  expect(table[3]).toMatch(/^pipe:/)
  expect(table[4]).toBe(table[3])
  expect([0, 3, 4, 7, 15_000].map((number) => isCloexec(pid, number))).toEqual([
    true,
    false,
    true,
    false,
    false,
  ])
})

test('a held task waits with default signals and init, or a subreaper, as its parent', async () => {
  const builder = new Builder()
  const task = builder.fork(0)
  builder.sweep(task)
  const [, pid = 0] = await restore(builder.program)
  expect(numbersOf(pid)).toEqual([])
  for (const set of ['SigIgn', 'SigBlk', 'SigCgt']) expect(statusOf(pid, set)).toBe('0'.repeat(16))
  expect(statusOf(pid, 'State')).toMatch(/^S/)
  expect(parentOf(pid)).not.toBe(process.pid)
})
