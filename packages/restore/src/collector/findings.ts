import { RestoreError, type Problem } from '../errors.ts'

/** What is wrong with what is being collected: all of it, before anything is given. */
export class Findings {
  readonly #problems: Problem[] = []
  readonly #lossy: boolean
  readonly #warn: (problem: Problem) => void

  constructor(lossy: boolean, warn: (problem: Problem) => void) {
    this.#lossy = lossy
    this.#warn = warn
  }

  /** Something that the images cannot have. */
  refuse(problem: Problem): void {
    this.#problems.push(problem)
  }

  /** Something that will be another way, with nothing lost. */
  note(problem: Problem): void {
    this.#warn(problem)
  }

  /** Something that gets lost, which the caller may have allowed. */
  lose(problem: Problem): void {
    if (this.#lossy) this.#warn(problem)
    else this.refuse({ ...problem, message: `${problem.message} (the option lossy leaves it out)` })
  }

  /** Throws RestoreError with all that has been refused. */
  check(): void {
    if (this.#problems.length > 0) throw new RestoreError(this.#problems)
  }
}
