import type { PlanNode } from '../../plan/node.ts'
import type { TaskOps } from '../../plan/task-ops.ts'
import type { Slot } from '../../program/op.ts'
import { O_CLOEXEC, O_NONBLOCK } from '../flags.ts'
import type { StepContext } from '../kind.ts'
import { setOption, SO_PASSCRED, SOL_SOCKET } from '../socket-options.ts'
import { actorOf, bind } from './names.ts'
import { isFree } from './places.ts'
import { describe, type Binding, type Rendezvous, type UnixSocket } from './socket.ts'

const AF_UNIX = 1

/** As many connections may wait to be accepted while a restore runs, besides those that stay so. */
export const AHEAD = 64

/** Makes a socket of its type. */
export function create(ops: TaskOps, type: number, flags: number): Slot {
  return ops.open('socket', [AF_UNIX, type | flags, 0])
}

/** The step that gives a socket its name, and lets it listen. */
export function bound(context: StepContext, binding: Binding): PlanNode {
  const { socket, rendezvous } = binding
  return socket === undefined
    ? opened(context, rendezvous as Rendezvous, binding)
    : context.shared(`name of Unix socket ${socket.file.id}`, () => {
        const { task } = context.nodeOf(socket.file)
        return {
          task: actorOf(task, binding.address.folder),
          label: `name of ${describe(socket)}`,
          about: socket.file,
          run: (step) => {
            const isThere = step.need(step.nodeOf(socket.file), 'open')
            if (!isFree(step, binding, predecessors(step, binding)) || !isThere) return { status: 1 }
            const slot = step.slotOf(socket.file, step.ops)
            bind(step.ops, slot, binding, task)
            const meeting = socket.rendezvous
            if (meeting !== undefined) listen(step.ops, slot, roomFor(meeting))
            // So that credentials are with what is going to be in its queue.
            else if (socket.entry.opts.soPasscred) setOption(step.ops, slot, [SOL_SOCKET, SO_PASSCRED], 1)
            return { status: 0 }
          },
        }
      })
}

/** A listener that is there only while its connections are made. */
export function opened(context: StepContext, rendezvous: Rendezvous, binding: Binding): PlanNode {
  return context.shared(`Unix listener ${rendezvous.index}`, () => {
    const first = rendezvous.arrivals[0]?.accepted as UnixSocket
    const { task } = context.nodeOf(first.file)
    return {
      task: actorOf(task, binding.address.folder),
      label: `listener for ${describe(first)}`,
      about: first.file,
      run: (step) => {
        if (!isFree(step, binding, predecessors(step, binding))) return { status: 1 }
        const newFd = create(step.ops, rendezvous.type, O_CLOEXEC | O_NONBLOCK)
        bind(step.ops, newFd, binding, task)
        listen(step.ops, newFd, roomFor(rendezvous))
        return { status: 0, newFd }
      },
    }
  })
}

/** The step that closes it. */
export function closed(context: StepContext, rendezvous: Rendezvous, binding: Binding): PlanNode {
  const listener = opened(context, rendezvous, binding)
  const last = rendezvous.arrivals.at(-1)?.accepted as UnixSocket
  return context.shared(`end of Unix listener ${rendezvous.index}`, () => ({
    task: listener.task,
    label: `end of the listener for ${describe(last)}`,
    about: last.file,
    run: ({ need, nodeOf, ops }) => {
      if (!need(nodeOf(last.file), 'open')) return { status: 1 }
      ops.drop(listener.slot as Slot)
      return { status: 0 }
    },
  }))
}

/** Who has to have had the name before. */
function predecessors(context: StepContext, binding: Binding): PlanNode[] {
  const { bindings, path } = binding.place
  const before = bindings[bindings.indexOf(binding) - 1]
  if (before === undefined) return []
  const { rendezvous } = before
  return [
    path === undefined && rendezvous !== undefined
      ? closed(context, rendezvous, before)
      : bound(context, before),
  ]
}

export function listen(ops: TaskOps, slot: Slot, backlog: number): void {
  ops.call('listen', [{ slot }, backlog])
}

/** How many connections a listener must let wait, for the moment. */
export function roomFor({ listener, arrivals }: Rendezvous): number {
  const waiting = arrivals.filter(({ accepted }) => accepted === undefined).length
  return Math.max(listener?.entry.backlog ?? 0, waiting + Math.min(arrivals.length - waiting, AHEAD))
}
