import type { PlanNode } from '../../plan/node.ts'
import { O_CLOEXEC, O_NOCTTY, O_RDWR } from '../flags.ts'
import type { StepContext } from '../kind.ts'
import { lock } from './settings.ts'
import type { Terminal } from './terminal.ts'

/*
 * A slave whose master is not in the images has been hung up, or is now: its master is made for the moment, and closed
 * when all slaves are open.
 */

/** The step by which the master is there. */
export function momentaryMaster(context: StepContext, { index = 0 }: Terminal): PlanNode {
  const label = `master of hung-up pseudoterminal ${index}`
  return context.shared(label, () => ({
    task: undefined,
    label,
    run: ({ ops, path }) => {
      const newFd = ops.openPtmx(path('/dev/ptmx'), index, O_RDWR | O_NOCTTY | O_CLOEXEC)
      ops.call('ioctl', [{ slot: newFd }, ...lock(ops, false)])
      return { status: 0, newFd }
    },
  }))
}

/** The step by which it is closed. */
export function hungUp(context: StepContext, terminal: Terminal): PlanNode {
  const label = `hang-up of pseudoterminal ${terminal.index ?? 0}`
  return context.shared(label, () => ({
    task: undefined,
    label,
    run: (step) => {
      const master = momentaryMaster(step, terminal)
      const held = terminal.slave.files.filter(({ fles }) => fles.length > 0)
      const open = [master, ...held.map(step.nodeOf)].map((node) => step.need(node, 'open'))
      if (open.includes(false)) return { status: 1 }
      step.ops.drop(master.slot ?? 0)
      return { status: 0 }
    },
  }))
}
