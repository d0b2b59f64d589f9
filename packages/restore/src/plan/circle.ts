import type { Problem } from '../errors.ts'
import type { PlanNode, Stage } from './node.ts'

/** A node that cannot go on. */
export interface Stuck extends PlanNode {
  readonly waitsFor: readonly Wait[]
}

interface Wait {
  readonly node: Stuck
  readonly stage: Stage
}

/** Every circle among nodes that wait for each other, with its members; what only waits for a circle is in none. */
export function circlesOf(stuck: readonly Stuck[]): Stuck[][] {
  return components(stuck).filter(isCircle)
}

function isCircle(members: readonly Stuck[]): boolean {
  const [first] = members
  return members.length > 1 || (first?.waitsFor.some(({ node }) => node === first) ?? false)
}

/** A circle for people, with each member's process, descriptor and kind. */
export function circleProblem(members: readonly Stuck[]): Problem {
  const inside = new Set(members)
  const lines = members.map((member) => {
    const wait = member.waitsFor.find(({ node }) => inside.has(node))
    const what = wait?.stage === 'open' ? 'to be open' : 'to be restored'
    return `  ${placeOf(member)}${member.label} waits for ${wait?.node.label ?? 'itself'} ${what}`
  })
  const [first] = members
  const fle = first?.about?.fles[0]
  return {
    reason: 'circle',
    message: `${members.length} wait for each other in a circle, so none of them can be first:\n${lines.join('\n')}`,
    ...(first?.about === undefined ? {} : { file: first.about.id }),
    ...(fle === undefined ? {} : { fd: fle.fd, pid: fle.table.owner.pid }),
  }
}

function placeOf({ about }: PlanNode): string {
  const fle = about?.fles[0]
  return fle === undefined ? '' : `process ${fle.table.owner.pid}, descriptor ${fle.fd}: `
}

/** How far a walk has looked at the waits of a node. */
interface Step {
  readonly node: Stuck
  readonly waits: readonly Wait[]
  next: number
}

/** Strongly connected components (Tarjan, 1972), with a stack of its own: chains may be longer than the call stack. */
function components(nodes: readonly Stuck[]): Stuck[][] {
  const found: Stuck[][] = []
  const order = new Map<Stuck, number>()
  const low = new Map<Stuck, number>()
  const open: Stuck[] = []
  const isOpen = new Set<Stuck>()
  const enter = (node: Stuck, walk: Step[]): void => {
    order.set(node, order.size)
    low.set(node, order.size - 1)
    open.push(node)
    isOpen.add(node)
    walk.push({ node, waits: node.waitsFor, next: 0 })
  }
  const leave = (node: Stuck): void => {
    if (low.get(node) !== order.get(node)) return
    const members = open.splice(open.indexOf(node))
    for (const member of members) isOpen.delete(member)
    found.push(members)
  }
  const lower = (node: Stuck, to: number): void => {
    low.set(node, Math.min(low.get(node) ?? to, to))
  }
  for (const start of nodes) {
    if (order.has(start)) continue
    const walk: Step[] = []
    enter(start, walk)
    for (let step = walk.at(-1); step !== undefined; step = walk.at(-1)) {
      const target = step.waits[step.next++]?.node
      if (target === undefined) {
        walk.pop()
        leave(step.node)
        const above = walk.at(-1)
        if (above !== undefined) lower(above.node, low.get(step.node) ?? 0)
      } else if (!order.has(target)) enter(target, walk)
      else if (isOpen.has(target)) lower(step.node, order.get(target) ?? 0)
    }
  }
  return found
}
