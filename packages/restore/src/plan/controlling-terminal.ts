import { FdType } from '../images/index.ts'
import type { Situation, StepContext, StepDefinition } from '../kinds/kind.ts'
import type { File } from '../model/file.ts'
import type { Task } from '../model/task.ts'
import type { PlanNode } from './node.ts'
import type { Planner } from './planner.ts'

const TIOCSCTTY = 0x540e
const TIOCSPGRP = 0x5410

/** The terminal of a session: a file that is it, and the leader that has to take it. */
export interface ControllingTerminal {
  readonly leader: Task
  readonly file: File
  /** Group in the foreground, 0 for none. */
  readonly pgrp: number
  node(planner: Planner): PlanNode
}

/** The controlling terminals of all sessions whose leader is in the images. */
export class Terminals {
  readonly #bySession = new Map<number, ControllingTerminal>()

  constructor(situation: Situation) {
    const { images, model } = situation
    const infos = new Map(images.ttys.map(({ entry }) => [entry.id, entry]))
    for (const file of model.files.values()) {
      const { tty } = file.entry
      const info = file.type === FdType.TTY && tty !== undefined ? infos.get(tty.ttyInfoId) : undefined
      const leader = info === undefined || info.sid === 0 ? undefined : model.taskOf(info.sid)
      // The other side of a pseudoterminal, with an odd number, controls nobody.
      if (info === undefined || leader === undefined || info.id % 2 === 1) continue
      if (this.#isBetter(file, leader)) this.#bySession.set(leader.pid, terminalOf(leader, file, info.pgrp))
    }
  }

  /** That of the session of a process. */
  of(task: Task): ControllingTerminal | undefined {
    return this.#bySession.get(task.sid)
  }

  /** Brings groups into the foreground when they are there. */
  addForegrounds(planner: Planner, groupOf: (leader: Task) => PlanNode): void {
    for (const terminal of this.#bySession.values()) {
      const group = planner.situation.model.taskOf(terminal.pgrp)
      if (group === undefined) continue
      const definition: StepDefinition = {
        task: terminal.leader,
        label: `foreground of session ${terminal.leader.pid}`,
        run: (context) => {
          if (!context.need(groupOf(group), 'restored')) return { status: 1 }
          if (!context.need(terminal.node(planner), 'restored')) return { status: 1 }
          setForeground(context, terminal, group)
          return { status: 0 }
        },
      }
      planner.addStep(definition, 'process')
    }
  }

  /** A descriptor of the leader's own is there without being sent. */
  #isBetter(file: File, leader: Task): boolean {
    const known = this.#bySession.get(leader.pid)
    const isIn = ({ fles }: File): boolean => fles.some(({ table }) => table === leader.table)
    return known === undefined || (isIn(file) && !isIn(known.file))
  }
}

function terminalOf(leader: Task, file: File, pgrp: number): ControllingTerminal {
  return {
    leader,
    file,
    pgrp,
    node: (planner) =>
      planner.shared(`controlling terminal of session ${leader.pid}`, () => ({
        task: leader,
        label: `controlling terminal of session ${leader.pid}`,
        run: (context) => {
          if (!context.need(context.nodeOf(file), 'open')) return { status: 1 }
          context.ops.call('ioctl', [{ slot: context.slotOf(file, context.ops) }, TIOCSCTTY, 1])
          return { status: 0 }
        },
      })),
  }
}

function setForeground({ ops, slotOf }: StepContext, { file }: ControllingTerminal, group: Task): void {
  ops.call('ioctl', [{ slot: slotOf(file, ops) }, TIOCSPGRP, ops.store({ pid: group })])
}
