import { describe, expect, test } from 'vitest'
import { readlinkSync } from 'node:fs'
import { ProcessSet } from './fixtures/process-set.ts'
import { numbersOf } from './fixtures/tasks.ts'

describe('who forks whom', () => {
  test('children that share a table, and not with their parent, have one, and their parent', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100 })
    set.process(102, { ppid: 100, table: 101, place: 101 }).process(103, { ppid: 102, table: 101 })
    const id = set.named('/dev/null')
    set.hold(100, 3, id).hold(101, 5, id).hold(101, 6, set.named('/dev/zero'))
    const restored = await set.restore()
    expect([100, 101, 102, 103].map((pid) => numbersOf(restored.pid(pid)))).toEqual([
      [3],
      [5, 6],
      [5, 6],
      [5, 6],
    ])
    expect(restored.stat(102).ppid).toBe(restored.pid(100))
    expect(restored.stat(103).ppid).toBe(restored.pid(102))
    // What one of them opens, all have.
    expect(readlinkSync(`/proc/${restored.pid(103)}/fd/6`)).toBe('/dev/zero')
    expect(restored.warnings).toEqual([])
  })

  test('one that lost its parent is in the session of its brother', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100, sid: 101, pgid: 101 })
    set.process(102, { ppid: 100, sid: 101, pgid: 102 }).process(103, { ppid: 102 })
    const restored = await set.restore()
    const session = restored.pid(101)
    expect(restored.stat(102)).toMatchObject({ ppid: restored.pid(100), session, pgrp: restored.pid(102) })
    expect(restored.stat(103)).toMatchObject({ ppid: restored.pid(102), session, pgrp: restored.pid(102) })
  })

  test('children of leaders stay in the session that these were in before, however deep', async () => {
    const set = new ProcessSet().process(100).process(101, { ppid: 100, sid: 101, pgid: 101 })
    set.process(102, { ppid: 101, sid: 102, pgid: 102 }).process(103, { ppid: 102, sid: 100, pgid: 100 })
    const restored = await set.restore()
    expect(restored.stat(101).session).toBe(restored.pid(101))
    expect(restored.stat(102).session).toBe(restored.pid(102))
    expect(restored.stat(103)).toMatchObject({
      ppid: restored.pid(102),
      session: restored.pid(100),
      pgrp: restored.pid(100),
    })
  })

  test('a table that nobody can hand down is refused, and a place is warned of', async () => {
    const apart = new ProcessSet().process(100).process(101, { ppid: 100 }).process(102, { ppid: 101 })
    apart.process(103, { ppid: 100, table: 102 })
    expect(apart.problems()).toMatchObject([{ reason: 'table-apart', pid: 103 }])
    const mixed = new ProcessSet().process(100).process(101, { ppid: 100 }).process(102, { ppid: 100 })
    mixed.process(103, { ppid: 100, table: 101, place: 102 })
    const restored = await mixed.restore()
    expect(restored.warnings).toMatchObject([{ reason: 'place-apart', pid: 103 }])
  })
})
