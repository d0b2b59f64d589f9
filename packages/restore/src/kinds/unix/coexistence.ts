import type { PlanNode } from '../../plan/node.ts'
import type { StepContext } from '../kind.ts'
import { bound } from './listeners.ts'
import { moveBack, socketPaths } from './places.ts'

/**
 * The step after which other files can have the paths that deleted sockets had before them: those that are there, and
 * those that were deleted as well. Undefined when there are none.
 */
export function pathsGivenBack(context: StepContext): PlanNode | undefined {
  const { shared } = socketPaths(context)
  if (shared.length === 0) return undefined
  return context.shared('paths that Unix sockets had', () => ({
    task: undefined,
    label: 'paths that Unix sockets had before other files',
    run: (step) => {
      const bindings = shared.flatMap((place) => place.bindings)
      const waits = bindings.map((binding) => step.need(bound(step, binding), 'restored'))
      if (waits.includes(false)) return { status: 1 }
      for (const { path, aside } of shared) if (aside !== undefined) moveBack(step.ops, aside, path)
      return { status: 0 }
    },
  }))
}
