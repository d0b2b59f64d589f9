import type { OpenResult, Situation, StepContext, StepDefinition } from '../kinds/kind.ts'
import { slavePath, terminals, type Terminal } from '../kinds/tty/terminal.ts'
import type { Task } from '../model/task.ts'
import type { PlanNode } from './node.ts'
import type { Planner } from './planner.ts'

const TIOCSCTTY = 0x540e
const TIOCSPGRP = 0x5410
const AT_FDCWD = -100
const O_RDWR = 0o2
const O_NOCTTY = 0o400
const O_NONBLOCK = 0o4000
const O_CLOEXEC = 0o2000000

/** Where the steps of a plan are found by their names. */
interface Steps {
  shared(name: string, make: () => StepDefinition): PlanNode
}

/** The terminal of a session, and the leader that has to take it. */
export interface ControllingTerminal {
  readonly leader: Task
  readonly terminal: Terminal
  /** Group in the foreground, 0 for none. */
  readonly pgrp: number
  readonly node: (steps: Steps) => PlanNode
}

/**
 * The controlling terminals of all sessions whose leader is in the images (tty_ioctl(4)). The leader opens the terminal
 * by its name for that: a descriptor of it may be one of those who can only be forked when the leader has it.
 */
export class ControllingTerminals {
  readonly #bySession = new Map<number, ControllingTerminal>()

  constructor(situation: Situation) {
    for (const terminal of terminals(situation).all) {
      const { master, slave, index } = terminal
      const info = slave.tty?.entry ?? master?.tty?.entry
      const leader = info === undefined || info.sid === 0 ? undefined : situation.model.taskOf(info.sid)
      if (info === undefined || leader === undefined) continue
      if (index === undefined || master !== undefined)
        this.#bySession.set(leader.pid, terminalOf(leader, terminal, info.pgrp))
      else {
        const message = `session ${leader.pid} loses its terminal, pseudoterminal ${index}: what is on the other side of it is not in the images`
        situation.warn({ reason: 'terminal-lost', message, pid: leader.pid })
      }
    }
  }

  /** That of a session, by the process id of its leader. */
  of(session: number): ControllingTerminal | undefined {
    return this.#bySession.get(session)
  }

  /** Those that are this terminal. */
  on(terminal: Terminal): ControllingTerminal[] {
    return [...this.#bySession.values()].filter((each) => each.terminal === terminal)
  }

  /** Brings groups into the foreground when they are there. That of the leader is when it takes the terminal. */
  addForegrounds(planner: Planner, groupOf: (leader: Task) => PlanNode): void {
    const { model, warn } = planner.situation
    for (const { leader, pgrp, node } of this.#bySession.values()) {
      const group = model.taskOf(pgrp)
      if (pgrp === leader.pid || pgrp === 0) continue
      if (group?.sid !== leader.pid) {
        const message = `group ${pgrp}, in the foreground of session ${leader.pid}, has no leader in the images: the group of the session's leader is in the foreground`
        warn({ reason: 'group-outside', message, pid: leader.pid })
        continue
      }
      planner.addStep({
        task: leader,
        label: `foreground of session ${leader.pid}`,
        run: ({ ops, need }) => {
          const taken = node(planner)
          const isThere = need(groupOf(group), 'restored')
          if (!need(taken, 'restored') || !isThere) return { status: 1 }
          ops.call('ioctl', [{ slot: taken.slot ?? 0 }, TIOCSPGRP, ops.store({ pid: group })])
          return { status: 0 }
        },
      })
    }
  }
}

/** Those of a plan. */
export function controllingTerminals(situation: Situation): ControllingTerminals {
  return situation.once('controlling terminals', () => new ControllingTerminals(situation))
}

function terminalOf(leader: Task, terminal: Terminal, pgrp: number): ControllingTerminal {
  const label = `controlling terminal of session ${leader.pid}`
  const node = (steps: Steps): PlanNode =>
    steps.shared(label, () => ({ task: leader, label, run: (context) => take(context, terminal) }))
  return { leader, terminal, pgrp, node }
}

/** The descriptor is closed with all that the table does not have. */
function take(context: StepContext, terminal: Terminal): OpenResult {
  const { ops, need, nodeOf } = context
  const [master] = terminal.master?.files ?? []
  if (master !== undefined && !need(nodeOf(master), 'open')) return { status: 1 }
  const flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC
  const newFd = ops.open('openat', [AT_FDCWD, { text: slavePath(terminal, context) }, flags, 0])
  // It is not taken away from a session that has it.
  ops.call('ioctl', [{ slot: newFd }, TIOCSCTTY, 0])
  return { status: 0, newFd }
}
