import type { File } from '../model/file.ts'
import type { Model } from '../model/model.ts'
import type { Task } from '../model/task.ts'
import type { PlanNode, Stage } from '../plan/node.ts'
import type { Examination, Plan } from '../plan/plan.ts'
import { longestChains, type Edge } from './longest-chains.ts'

/** What is described: a plan, or what there is of one. */
export type Planned = Plan | Examination

/**
 * What a process does: `make`, it begins, `open`, `inherit`, it has the file from the helper, `take`, another process
 * sends it, and `step`, something that files need.
 */
export type Action = 'make' | 'open' | 'inherit' | 'take' | 'step'

/** One thing that happens in one process. */
export interface Box {
  readonly index: number
  /** Undefined for the helper. */
  readonly task: Task | undefined
  readonly action: Action
  /** Kind of the file, or what it is instead of one. */
  readonly kind: string
  readonly label: string
  readonly file: File | undefined
  /** The node of the plan; undefined for the making of a process, which are several, and for an inheritance. */
  readonly node: PlanNode | undefined
  /** The descriptors that the file has in this process, ascending. */
  readonly numbers: readonly number[]
  readonly waits: Wait[]
  readonly isInCircle: boolean
  /** The stages, counted from 1, in which it is opened and restored. Making processes is stage 0 but for late ones. */
  stages: Readonly<Record<Stage, number>>
}

export interface Wait {
  readonly on: Box
  readonly stage: Stage
  /** What of the one that waits comes after it. */
  readonly before: Stage
}

/** A plan as boxes that wait for each other. A stage is what waits for nothing but earlier stages. */
export interface PlanGraph {
  readonly boxes: readonly Box[]
  readonly stages: number
}

export function planGraph(planned: Planned): PlanGraph {
  const builder = new Builder(planned)
  const { boxes } = builder
  const chains = longestChains(boxes.length * 2, (state) => builder.edgesOf(state))
  for (const box of boxes)
    box.stages = { open: chains[stateOf(box, 'open')] ?? 0, restored: chains[stateOf(box, 'restored')] ?? 0 }
  return { boxes, stages: chains.reduce((most, length) => Math.max(most, length), 0) }
}

function stateOf({ index }: Box, stage: Stage): number {
  return index * 2 + (stage === 'open' ? 0 : 1)
}

/** Whether all that comes of it is added to the end. */
function isIdle({ role, reached, marks }: PlanNode): boolean {
  return role === 'step' && reached === 'restored' && marks.restored.length === 0
}

class Builder {
  readonly boxes: Box[] = []
  readonly #model: Model
  readonly #making = new Map<Task, Box>()
  readonly #byNode = new Map<PlanNode, Box>()
  readonly #circling: ReadonlySet<PlanNode>

  constructor(planned: Planned) {
    this.#model = planned.model
    this.#circling = new Set('circles' in planned ? planned.circles.flat() : [])
    for (const task of this.#model.tasks) this.#making.set(task, this.#addMaking(task))
    for (const node of planned.nodes) if (node.role !== 'process' && !isIdle(node)) this.#addNode(node)
    for (const node of planned.nodes) this.#addWaits(node)
    for (const node of planned.nodes) this.#addHeirs(node)
  }

  /** What a state of a box, open or restored, comes after, and whether it is a stage later. */
  *edgesOf(state: number): Iterable<Edge> {
    const box = this.boxes[state >> 1]
    if (box === undefined) return
    const stage: Stage = state % 2 === 0 ? 'open' : 'restored'
    const length = box.action === 'make' ? 0 : 1
    if (stage === 'restored') yield { to: state - 1, length: 0 }
    else if (box.action !== 'make') {
      const making = box.task && this.#making.get(box.task)
      yield making === undefined ? { to: undefined, length } : { to: stateOf(making, 'restored'), length }
    } else if (!box.waits.some(({ on }) => on.action === 'make')) {
      for (const other of this.boxes)
        if (other.task === undefined) yield { to: stateOf(other, 'open'), length }
    }
    for (const wait of box.waits)
      if (wait.before === stage) yield { to: stateOf(wait.on, wait.stage), length }
  }

  #addMaking(task: Task): Box {
    return this.#add({ task, action: 'make', kind: 'process', label: `process ${task.pid}` })
  }

  #addNode(node: PlanNode): void {
    const { task, role, label, file } = node
    const made = node.takes?.file ?? file
    const box = this.#add({
      task,
      action: role === 'file' ? 'open' : role === 'take' ? 'take' : 'step',
      kind: node.takes?.kind ?? node.kind ?? label,
      label: node.takes?.label ?? label,
      node,
      ...(made && { file: made }),
      isInCircle: this.#circling.has(node),
    })
    this.#byNode.set(node, box)
  }

  #addWaits(node: PlanNode): void {
    const subject = node.makes ?? node.task
    const box = node.role === 'process' ? subject && this.#making.get(subject) : this.#byNode.get(node)
    if (box === undefined) return
    const forker = node.makes && node.task && this.#making.get(node.task)
    if (forker !== undefined) box.waits.push({ on: forker, stage: 'restored', before: 'open' })
    for (const { node: other, stage, before } of node.needs) {
      const of = other.makes ?? other.task
      const on = other.role === 'process' ? of && this.#making.get(of) : this.#byNode.get(other)
      // That everything waits for its own process, and processes for their parents, goes without saying.
      const isSaid = other.role === 'process' && (box.action === 'make' || of === box.task)
      if (on === undefined || on === box || isSaid) continue
      box.waits.push({ on, stage, before: node.role === 'process' ? 'open' : before })
    }
  }

  /** What the helper has opened is in the tables of its heirs from their beginning. */
  #addHeirs(node: PlanNode): void {
    const { file, task, label } = node
    const opened = this.#byNode.get(node)
    if (file === undefined || task !== undefined || opened === undefined) return
    for (const { owner } of new Set(file.fles.map(({ table }) => table))) {
      const box = this.#add({ task: owner, action: 'inherit', kind: opened.kind, label, file })
      box.waits.push({ on: opened, stage: 'open', before: 'open' })
    }
  }

  #add(given: Pick<Box, 'task' | 'action' | 'kind' | 'label'> & Partial<Box>): Box {
    const { task, file } = given
    const here = file?.fles.filter(({ table }) => table.owner === task) ?? []
    const box: Box = {
      index: this.boxes.length,
      file: undefined,
      node: undefined,
      numbers: here.map(({ fd }) => fd),
      waits: [],
      isInCircle: false,
      stages: { open: 0, restored: 0 },
      ...given,
    }
    this.boxes.push(box)
    return box
  }
}
