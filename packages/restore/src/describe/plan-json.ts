import type { Problem } from '../errors.ts'
import type { Stage } from '../plan/node.ts'
import { planGraph, type Action, type Box, type Planned } from './plan-graph.ts'

/** A plan as data. */
export interface PlanDescription {
  readonly processes: readonly {
    readonly pid: number
    readonly parent: number | undefined
    /** The process in whose table its descriptors are, when that is another one. */
    readonly tableOf: number | undefined
  }[]
  /** Number of stages. */
  readonly stages: number
  /** Number of operations; undefined when there is no program, as it cannot be run. */
  readonly operations: number | undefined
  readonly steps: readonly StepDescription[]
  readonly warnings: readonly Problem[]
}

export interface StepDescription {
  /** Name of the step in `waitsFor` of others. */
  readonly step: number
  /** Index of the node of the plan, by which problems of a run name it; undefined where it is not just one. */
  readonly node: number | undefined
  /** The process, or null for the helper. */
  readonly process: number | null
  readonly action: Action
  /** Kind of the file, or what it is instead of one. */
  readonly kind: string
  readonly label: string
  /** Id of the file in the images. */
  readonly file: number | undefined
  /** Descriptors that the file has in this process. */
  readonly descriptors: readonly number[]
  /** In which stage it is opened, and in which restored. */
  readonly stages: Readonly<Record<Stage, number>>
  readonly waitsFor: readonly {
    readonly step: number
    readonly stage: Stage
    /** What comes after it. */
    readonly before: Stage
  }[]
  /** Whether it is in a circle of steps that wait for each other. */
  readonly inCircle: boolean
}

/** A plan as data, for programs. */
export function planJson(planned: Planned): PlanDescription {
  const { boxes, stages } = planGraph(planned)
  const program = 'program' in planned ? planned.program : planned.plan?.program
  return {
    processes: planned.model.tasks.map((task) => ({
      pid: task.pid,
      parent: task.parent?.pid,
      tableOf: task.table.owner === task ? undefined : task.table.owner.pid,
    })),
    stages,
    operations: program?.ops.length,
    steps: boxes.map(stepOf),
    warnings: planned.warnings,
  }
}

function stepOf(box: Box): StepDescription {
  const { index, task, action, kind, label, file, node, numbers, stages, isInCircle } = box
  return {
    step: index,
    node: node?.index,
    process: task?.pid ?? null,
    action,
    kind,
    label,
    file: file?.id,
    descriptors: numbers,
    stages,
    waitsFor: box.waits.map(({ on, stage, before }) => ({ step: on.index, stage, before })),
    inCircle: isInCircle,
  }
}
