import { readFileSync, readlinkSync, readdirSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ProcessSet } from './fixtures/process-set.ts'

const devices = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom']
const numbers = [3, 4, 5, 6, 7]

/** Numbers and flags of a process's descriptors, and what they are of. */
const tableOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0'
      const isClosing = (Number.parseInt(flags, 8) & 0o2000000) !== 0
      return [fd, `${readlinkSync(`/proc/${pid}/fd/${fd}`)}${isClosing ? ' closes' : ''}`]
    }),
  )

/** Which device has which number in a table: a part of them, in any order, some twice. */
const table = fc.tuple(
  // Whose child it is, and whether it shares the table of that.
  fc.record({ parent: fc.nat({ max: 3 }), shares: fc.boolean() }),
  fc.shuffledSubarray(numbers, { minLength: 1 }),
  fc.array(fc.record({ device: fc.nat({ max: devices.length - 1 }), cloexec: fc.boolean() }), {
    minLength: numbers.length,
    maxLength: numbers.length,
  }),
)

describe('what several processes share', () => {
  test('has in each of them the numbers that it had, also where they are crossed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(table, { minLength: 2, maxLength: 5 }), async (tables) => {
        const set = new ProcessSet()
        const files = devices.map((name) => set.named(name))
        const contentsOf = new Map<number, Record<string, string>>()
        const owners: number[] = []
        for (const [place, [{ parent, shares }, held, contents]] of tables.entries()) {
          const pid = 100 + place
          const above = Math.min(parent, place - 1)
          const owner = place > 0 && shares ? (owners[above] ?? pid) : pid
          owners.push(owner)
          set.process(pid, place === 0 ? {} : { ppid: 100 + above, table: owner })
          if (owner !== pid) continue
          const all: Record<string, string> = {}
          for (const [index, fd] of held.entries()) {
            const { device = 0, cloexec = false } = contents[index] ?? {}
            set.hold(pid, fd, files[device] ?? 0, { cloexec })
            all[fd] = `${devices[device] ?? ''}${cloexec ? ' closes' : ''}`
          }
          contentsOf.set(pid, all)
        }
        const restored = await set.restore()
        for (const [place, owner] of owners.entries())
          expect(tableOf(restored.pid(100 + place))).toEqual(contentsOf.get(owner))
      }),
      { numRuns: 25 },
    )
  })
})
