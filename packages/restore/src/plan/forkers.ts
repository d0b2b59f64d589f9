import type { Problem } from '../errors.ts'
import type { Model } from '../model/model.ts'
import type { Task } from '../model/task.ts'

/**
 * Who forks each process. That is its parent, unless it has in common with an older child of its parent what it has not
 * with that: its table of descriptors, where paths begin, or its session, as when it has lost its own parent. Only from
 * who forks one can have these (clone(2), setsid(2)); then the older child does it, with CLONE_PARENT.
 */
export class Forkers {
  readonly #forkers = new Map<Task, Task | undefined>()
  readonly #forked = new Map<Task, Task[]>()
  /** What cannot be made so. */
  readonly problems: Problem[] = []
  /** What will be otherwise. */
  readonly warnings: Problem[] = []

  constructor({ tasks }: Model) {
    const children = new Map<Task | undefined, Task[]>()
    for (const task of tasks) {
      const older = children.get(task.parent) ?? []
      children.set(task.parent, [...older, task])
      const forker = this.#choose(task, older)
      this.#forkers.set(task, forker)
      if (forker !== undefined) this.#forked.set(forker, [...(this.#forked.get(forker) ?? []), task])
    }
  }

  /** Undefined: the helper. */
  of(task: Task): Task | undefined {
    return this.#forkers.get(task)
  }

  forkedBy(task: Task): readonly Task[] {
    return this.#forked.get(task) ?? []
  }

  #choose(task: Task, older: readonly Task[]): Task | undefined {
    const { pid, sid, parent, table, surroundings } = task
    const candidates = [parent, ...older]
    const hasTable = (each: Task | undefined): boolean => table.owner === task || each?.table === table
    const hasPlace = (each: Task | undefined): boolean =>
      surroundings.owner === task || each?.surroundings === surroundings
    const hasSession = (each: Task | undefined): boolean => sid === pid || each?.sid === sid
    const wishes = [
      [hasTable, hasPlace, hasSession],
      [hasTable, hasPlace],
      [hasTable, hasSession],
      [hasTable],
    ]
    const found = wishes
      .map((wish) => candidates.findIndex((each) => wish.every((isGranted) => isGranted(each))))
      .find((place) => place >= 0)
    if (found === undefined) {
      const message = `process ${pid} shares its descriptors with process ${table.owner.pid}, which is neither its parent nor a child of that: who could fork it does not have them`
      this.problems.push({ reason: 'table-apart', message, pid })
    } else if (!hasPlace(candidates[found])) {
      const message = `process ${pid} shares its working directory with process ${surroundings.owner.pid}, and its descriptors with another one: the directory will be its own`
      this.warnings.push({ reason: 'place-apart', message, pid })
    }
    return candidates[found ?? 0]
  }
}
