import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { longestChains } from '../../src/describe/longest-chains.ts'
import { planDot } from '../../src/describe/plan-dot.ts'
import { planJson, type StepDescription } from '../../src/describe/plan-json.ts'
import { planText } from '../../src/describe/plan-text.ts'
import type { Stage } from '../../src/plan/node.ts'
import { examine, plan, type Examination, type Plan } from '../../src/plan/plan.ts'
import { eventfd, plainSet, type PlainTask } from '../fixtures/plain-set.ts'
import { waitingKind, type Waits } from '../fixtures/waiting-kind.ts'

type Given = readonly [id: number, waits: Waits]

const waitsFor = (on: readonly (readonly [number, Stage])[], before: Stage = 'open'): Waits => ({
  before,
  on,
})

const examined = (tasks: readonly PlainTask[], waits: readonly Given[] = []): Examination =>
  examine(plainSet(tasks), { keepPids: false, kinds: [waitingKind(new Map(waits))] })

const planned = (tasks: readonly PlainTask[], waits: readonly Given[] = []): Plan => {
  const { plan: made, problems } = examined(tasks, waits)
  if (made === undefined) throw new Error(problems.map(({ message }) => message).join('\n'))
  return made
}

const many = (count: number): PlainTask => ({
  pid: 81,
  descriptors: Object.fromEntries(
    Array.from({ length: count }, (_, place) => [place + 3, eventfd(place + 1)]),
  ),
})

const step = (made: Plan | Examination, label: string, pid = 81): StepDescription => {
  const found = planJson(made).steps.find((each) => each.label === label && each.process === pid)
  expect(found, label).toBeDefined()
  return found!
}

describe('stages', () => {
  test('a file is a stage later than what it waits for', () => {
    const task = { pid: 81, descriptors: { 3: eventfd(1), 4: eventfd(2), 5: eventfd(3), 6: eventfd(4) } }
    const made = planned(
      [task],
      [
        [1, waitsFor([[2, 'open']])],
        [2, waitsFor([[3, 'restored']])],
        [4, waitsFor([])],
      ],
    )
    const stagesOf = (id: number): number => step(made, `eventfd ${id}`).stages.open
    expect([1, 2, 3, 4].map(stagesOf)).toEqual([3, 2, 1, 1])
    expect(planJson(made).stages).toBe(3)
  })

  test('two that need each other to be open are no circle: they are restored a stage later', () => {
    const task = { pid: 81, descriptors: { 3: eventfd(1), 4: eventfd(2) } }
    const made = planned(
      [task],
      [
        [1, waitsFor([[2, 'open']], 'restored')],
        [2, waitsFor([[1, 'open']], 'restored')],
      ],
    )
    expect(step(made, 'eventfd 1').stages).toEqual({ open: 1, restored: 2 })
    expect(step(made, 'eventfd 2').stages).toEqual({ open: 1, restored: 2 })
    expect(step(made, 'eventfd 1').waitsFor).toEqual([
      { step: step(made, 'eventfd 2').step, stage: 'open', before: 'restored' },
    ])
  })

  test('who takes a descriptor is a stage behind who opens it', () => {
    const shared = eventfd(1)
    const made = planned([
      { pid: 81, descriptors: { 3: shared } },
      { pid: 82, parent: 81, descriptors: { 7: shared, 8: shared } },
    ])
    expect(step(made, 'eventfd 1', 82)).toMatchObject({ action: 'take', descriptors: [7, 8] })
    expect(step(made, 'eventfd 1', 82).stages.open).toBe(step(made, 'eventfd 1').stages.open + 1)
  })

  test('the longest chain of an acyclic graph, whatever its order', () => {
    const graph = fc.integer({ min: 1, max: 30 }).chain((size) =>
      fc.record({
        order: fc.shuffledSubarray([...Array(size).keys()], { minLength: size, maxLength: size }),
        // Each edge leads from a later place of the order to an earlier one.
        edges: fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1), fc.integer({ min: 0, max: 1 })), {
          maxLength: 60,
        }),
      }),
    )
    fc.assert(
      fc.property(graph, ({ order, edges }) => {
        const from = new Map<number, { to: number; length: number }[]>()
        for (const [one, other, length] of edges) {
          if (one === other) continue
          const [late, early] = one > other ? [order[one]!, order[other]!] : [order[other]!, order[one]!]
          from.set(late, [...(from.get(late) ?? []), { to: early, length }])
        }
        const naive = (state: number): number =>
          Math.max(0, ...(from.get(state) ?? []).map(({ to, length }) => naive(to) + length))
        expect(longestChains(order.length, (state) => from.get(state) ?? [])).toEqual(
          order.map((_, state) => naive(state)),
        )
      }),
    )
  })

  test('a chain may be longer than the call stack', () => {
    const size = 200_000
    const lengths = longestChains(size, (state) => (state === 0 ? [] : [{ to: state - 1, length: 1 }]))
    expect(lengths.at(-1)).toBe(size - 1)
  })
})

describe('in words', () => {
  test('what each process opens, sends, takes and waits for', () => {
    const shared = eventfd(1)
    const text = planText(
      planned(
        [
          { pid: 81, descriptors: { 3: shared, 4: eventfd(2) } },
          { pid: 82, parent: 81, descriptors: { 7: shared, 9: eventfd(3) } },
        ],
        [
          [1, waitsFor([[2, 'restored']])],
          [3, waitsFor([[2, 'open']])],
        ],
      ),
    )
    expect(text).toMatch(/^2 processes, 4 descriptors of 3 files, 3 stages, \d+ operations\n/u)
    const lines = text.split('\n')
    expect(lines).toContain('      1  opens     4          eventfd 2')
    expect(lines).toContain('      2  opens     3          eventfd 1')
    expect(lines).toContain('                              sends it to process 82')
    expect(lines).toContain('                              waits for 4 (eventfd 2) to be restored')
    expect(lines).toContain('Process 82, child of 81')
    expect(lines).toContain('      2  opens     9          eventfd 3')
    expect(lines).toContain('                              waits for 4 (eventfd 2) of process 81 to be open')
    expect(lines).toContain('      3  takes     7          eventfd 1, from process 81')
    expect(lines).toContain('  process 82: 7 eventfd 1 ── open ─▶ process 81: 3 eventfd 1')
  })

  test('many equal files are a line, unless all are wanted', () => {
    const made = planned([many(1000)])
    expect(planText(made)).toContain('1  opens     3-1002     waiting eventfd × 1000\n')
    expect(planText(made, { most: Infinity })).toContain('1  opens     500        eventfd 498\n')
  })
})

describe('as a graph', () => {
  test('a column for each process, a box for each file, an arrow to what is waited for', () => {
    const shared = eventfd(1)
    const dot = planDot(
      planned(
        [
          { pid: 81, descriptors: { 3: shared, 4: eventfd(2) } },
          { pid: 82, parent: 81, descriptors: { 7: shared } },
        ],
        [[2, waitsFor([[1, 'restored']])]],
      ),
    )
    const nameOf = (label: string): string =>
      new RegExp(`(\\w+) \\[label="${label}"`, 'u').exec(dot)?.[1] ?? ''
    expect(dot).toContain('subgraph cluster_process81 {')
    expect(dot).toContain('subgraph cluster_process82 {')
    const [opened, waiting, taken] = ['3   eventfd 1', '4   eventfd 2', '7   eventfd 1'].map(nameOf)
    expect(dot).toContain(`  ${opened} -> ${waiting}\n`)
    expect(dot).toContain(`  ${opened} -> ${taken} [style=dashed]\n`)
    expect(dot).not.toContain('#d62728')
  })

  test('10 000 equal files of a process are one box, and what differs is another', () => {
    const dot = planDot(planned([many(10_000)], [[500, waitsFor([[501, 'open']])]]))
    expect(dot).toContain('waiting eventfd × 9998"')
    expect(dot).toContain('label="502   eventfd 500"')
    expect(dot).toContain('label="503   eventfd 501"')
    expect(dot.split('\n').length).toBeLessThan(40)
  })

  test('circles are red, and only they', () => {
    const circling = examined(
      [{ pid: 81, descriptors: { 3: eventfd(1), 4: eventfd(2), 5: eventfd(3), 6: eventfd(4) } }],
      [
        [1, waitsFor([[2, 'open']])],
        [2, waitsFor([[3, 'restored']])],
        [3, waitsFor([[1, 'open']])],
        [4, waitsFor([[1, 'open']])],
      ],
    )
    expect(circling.plan).toBeUndefined()
    expect(circling.problems).toMatchObject([{ reason: 'circle', pid: 81 }])
    const red = planDot(circling)
      .split('\n')
      .filter((line) => line.includes('#d62728'))
    // Three boxes, and three arrows.
    expect(red.filter((line) => line.includes('label='))).toHaveLength(3)
    expect(red.filter((line) => line.includes('->'))).toHaveLength(3)
    expect(
      planJson(circling)
        .steps.filter(({ inCircle }) => inCircle)
        .map(({ label }) => label),
    ).toEqual(['eventfd 1', 'eventfd 2', 'eventfd 3'])
  })
})

test('plan() throws what examine() finds', () => {
  const images = plainSet([{ pid: 81, descriptors: { 3: eventfd(1) } }])
  const kinds = [waitingKind(new Map([[1, waitsFor([[1, 'restored']])]]))]
  const { problems } = examine(images, { keepPids: false, kinds })
  expect(problems).toMatchObject([{ reason: 'circle' }])
  expect(() => plan(images, { keepPids: false, kinds })).toThrow(problems[0]!.message)
})
