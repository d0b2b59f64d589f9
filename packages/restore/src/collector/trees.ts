import type { Problem } from '../errors.ts'
import { allProcesses, isDead, isKernelThread, type ProcessStatus } from './process-status.ts'

const childrenOf = (all: ReadonlyMap<number, ProcessStatus>): Map<number, ProcessStatus[]> => {
  const children = new Map<number, ProcessStatus[]>()
  for (const status of all.values()) {
    const of = children.get(status.parent)
    if (of === undefined) children.set(status.parent, [status])
    else of.push(status)
  }
  for (const list of children.values()) list.sort((a, b) => a.pid - b.pid)
  return children
}

function refusal(status: ProcessStatus | undefined, pid: number): Problem | undefined {
  if (status === undefined) return { reason: 'no-process', pid, message: `there is no process ${pid}` }
  if (isKernelThread(status)) {
    return {
      reason: 'kernel-thread',
      pid,
      message: `${pid} is a thread of the kernel, which has no descriptors`,
    }
  }
  if (pid === process.pid) {
    return { reason: 'self', pid, message: `${pid} is the process that collects, and cannot look at itself` }
  }
  return undefined
}

/** The trees of the named processes: parents before their children, children by number. */
export class Trees {
  /** In the order of the image. */
  readonly members: ProcessStatus[] = []
  readonly problems: Problem[] = []
  /** Every process of the machine, members or not. */
  readonly all: ReadonlyMap<number, ProcessStatus>
  readonly #taken = new Set<number>()

  constructor(pids: readonly number[]) {
    this.all = allProcesses()
    const children = childrenOf(this.all)
    for (const pid of pids) {
      const refused = refusal(this.all.get(pid), pid)
      const dead = this.all.get(pid)
      if (refused !== undefined) this.problems.push(refused)
      else if (dead !== undefined && isDead(dead)) {
        this.problems.push({
          reason: 'zombie',
          pid,
          message: `${pid} has ended, and has no descriptors any more`,
        })
      } else this.#take(pid, children)
    }
  }

  #take(root: number, children: ReadonlyMap<number, ProcessStatus[]>): void {
    const waiting = [root]
    for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
      const status = this.all.get(pid)
      if (status === undefined) continue
      if (this.#taken.has(pid)) {
        this.problems.push({
          reason: 'named-twice',
          pid,
          message: `process ${pid} belongs to two of the trees: name the root of each tree once`,
        })
        continue
      }
      const refused = pid === root ? undefined : refusal(status, pid)
      if (refused !== undefined) this.problems.push(refused)
      this.#taken.add(pid)
      this.members.push(status)
      waiting.push(...(children.get(pid) ?? []).map((child) => child.pid).reverse())
    }
  }

  /** Whether it is one of the members. */
  has(pid: number): boolean {
    return this.#taken.has(pid)
  }

  /** Parents that are not members are no parents in the images. */
  parentOf(status: ProcessStatus): number {
    return this.#taken.has(status.parent) ? status.parent : 0
  }
}
