import type { Stage } from '../plan/node.ts'
import type { Box, PlanGraph } from './plan-graph.ts'

/** Boxes of one process that are equal: of one kind, in one stage, and waiting for each other's like. */
export interface Group {
  readonly first: Box
  readonly boxes: readonly Box[]
  readonly waits: GroupWait[]
}

export interface GroupWait {
  readonly on: Group
  readonly stage: Stage
}

/** Boxes that a person still looks at one by one. */
export const MOST_BOXES = 60

/** The boxes of a plan, each a group of its own; those that are equal are one, when there are more than `most`. */
export function groupsOf({ boxes }: PlanGraph, most: number = MOST_BOXES): Group[] {
  const colours = boxes.length > most ? refine(boxes) : boxes.map(({ index }) => index)
  const groups = new Map<number | undefined, Group>()
  const members = new Map<number | undefined, Box[]>()
  for (const box of boxes) {
    const colour = colours[box.index]
    const same = members.get(colour) ?? []
    if (same.length === 0) groups.set(colour, { first: box, boxes: same, waits: [] })
    members.set(colour, same)
    same.push(box)
  }
  for (const [colour, group] of groups) addWaits(group, colour, { groups, colours })
  return [...groups.values()]
}

interface Colouring {
  readonly groups: ReadonlyMap<number | undefined, Group>
  readonly colours: readonly number[]
}

function addWaits(group: Group, colour: number | undefined, { groups, colours }: Colouring): void {
  const known = new Set<string>()
  for (const { waits } of group.boxes) {
    for (const { on, stage } of waits) {
      const other = colours[on.index]
      const target = groups.get(other)
      const key = `${other} ${stage}`
      if (target === undefined || known.has(key) || (other === colour && group.boxes.length > 1)) continue
      known.add(key)
      group.waits.push({ on: target, stage })
    }
  }
}

/** Two boxes keep one colour as long as they wait for the same colours, and the same colours wait for them. */
function refine(boxes: readonly Box[]): number[] {
  const waiters = boxes.map((): { by: Box; stage: Stage }[] => [])
  for (const by of boxes) for (const { on, stage } of by.waits) waiters[on.index]?.push({ by, stage })
  let colours = paint(boxes, ({ task, action, kind, numbers, stages, isInCircle, index }) =>
    // A process, and a member of a circle, is always shown.
    action === 'make' || isInCircle
      ? String(index)
      : `${task?.pid ?? 0} ${action} ${kind} ${numbers.length} ${stages.open} ${stages.restored}`,
  )
  for (let count = 0; count < new Set(colours).size;) {
    count = new Set(colours).size
    const before = colours
    const named = (marks: readonly string[]): string => [...new Set(marks)].sort().join()
    colours = paint(boxes, ({ index, waits }) => {
      const down = named(waits.map(({ on, stage, before: what }) => `${before[on.index]} ${stage} ${what}`))
      const up = named((waiters[index] ?? []).map(({ by, stage }) => `${before[by.index]} ${stage}`))
      return `${before[index]}/${down}/${up}`
    })
  }
  return colours
}

function paint(boxes: readonly Box[], keyOf: (box: Box) => string): number[] {
  const numbers = new Map<string, number>()
  return boxes.map((box) => {
    const key = keyOf(box)
    const number = numbers.get(key) ?? numbers.size
    numbers.set(key, number)
    return number
  })
}
