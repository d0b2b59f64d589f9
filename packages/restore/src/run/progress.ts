import type { Program } from '../program/program.ts'
import type { RunState } from './run-state.ts'

/** Operations of a task. */
export interface TaskProgress {
  readonly done: number
  readonly total: number
}

// The tasks count in shared memory and tell nobody; so this looks, when somebody wants to know.
const INTERVAL = 20

/** What the tasks of a run have done. */
export class ProgressWatch {
  readonly #state: RunState
  /** Of each task the indices of its operations in the list. */
  readonly #indices: readonly number[][]
  readonly #listener: ((progress: readonly TaskProgress[]) => void) | undefined
  readonly #timer: NodeJS.Timeout | undefined
  #last: readonly TaskProgress[]

  constructor(program: Program, state: RunState, listener?: (progress: readonly TaskProgress[]) => void) {
    this.#state = state
    this.#listener = listener
    this.#indices = program.tasks.map(() => [])
    for (const [index, { task }] of program.ops.entries()) this.#indices[task]?.push(index)
    this.#last = this.look()
    if (listener !== undefined) this.#timer = setInterval(this.#tell, INTERVAL).unref()
  }

  /** What it saw last. */
  get last(): readonly TaskProgress[] {
    return this.#last
  }

  look(): readonly TaskProgress[] {
    const reached = this.#state.progress
    return this.#indices.map((indices, task) => ({
      done: countBelow(indices, reached[task] ?? 0),
      total: indices.length,
    }))
  }

  /** Looks for the last time. */
  stop(): void {
    clearInterval(this.#timer)
    this.#tell()
  }

  readonly #tell = (): void => {
    const before = this.#last
    this.#last = this.look()
    if (this.#last.some(({ done }, task) => done !== before[task]?.done)) this.#listener?.(this.#last)
  }
}

/** How many of these, which ascend, are below `limit`. */
function countBelow(ascending: readonly number[], limit: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((ascending[middle] ?? limit) < limit) low = middle + 1
    else high = middle
  }
  return low
}
