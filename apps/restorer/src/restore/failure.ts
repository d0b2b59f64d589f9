import { RestoreError, planJson, type Plan, type Problem } from '@x/restore'

/** The failure of a run, with the file, process and stage of the plan in which it happened. */
export function failureOf(error: RestoreError, plan: Plan): RestoreError {
  const { errno, syscall, problems } = error
  const located = problems.map((problem) => locate(problem, plan))
  return new RestoreError(located, { errno, ...(syscall !== undefined && { syscall }), cause: error })
}

function locate(problem: Problem, plan: Plan): Problem {
  if (problem.node === undefined) return problem
  const description = planJson(plan)
  const step = description.steps.find(({ node }) => node === problem.node)
  if (step === undefined)
    return { ...problem, message: `${problem.message}; it was a part of the making of processes` }
  const { stages, file, descriptors } = step
  const [fd] = descriptors
  return {
    ...problem,
    message: `${problem.message}; that was in stage ${stages.open} of ${description.stages}`,
    ...(file !== undefined && { file }),
    ...(fd !== undefined && { fd }),
  }
}
