import type { PlanNode } from '../../plan/node.ts'
import type { Slot } from '../../program/op.ts'
import { O_CLOEXEC } from '../flags.ts'
import type { OpenContext, StepContext } from '../kind.ts'
import { AHEAD, bound, closed, create, opened } from './listeners.ts'
import { actorOf, connect, reachOf } from './names.ts'
import { describe, type Arrival, type Binding, type Rendezvous } from './socket.ts'

/** The step by which a connection has come in, after those before it. */
export function arrived(context: StepContext, arrival: Arrival): PlanNode {
  const { rendezvous, place, client, maker } = arrival
  return context.shared(`connection ${place} of Unix listener ${rendezvous.index}`, () => {
    const binding = bindingOf(rendezvous)
    const { folder } = reachOf(binding)
    const { task } = context.nodeOf(maker.file)
    return {
      task: actorOf(task, folder),
      label: `connection of ${describe(maker)}`,
      about: maker.file,
      run: (step) => {
        const { arrivals } = rendezvous
        const before = arrivals[place - 1]
        const acceptedBefore = arrivals[place - AHEAD]?.accepted
        const waits = [
          step.need(bound(step, binding), 'restored'),
          before === undefined || step.need(arrived(step, before), 'restored'),
          acceptedBefore === undefined || step.need(step.nodeOf(acceptedBefore.file), 'open'),
          client === undefined || step.need(step.nodeOf(client.file), 'open'),
        ]
        if (waits.includes(false)) return { status: 1 }
        if (client !== undefined) {
          connect(step.ops, step.slotOf(client.file, step.ops), binding, task)
          return { status: 0 }
        }
        const newFd = create(step.ops, rendezvous.type, O_CLOEXEC)
        connect(step.ops, newFd, binding, task)
        return { status: 0, newFd }
      },
    }
  })
}

/** The name of who listens; a listener without one is refused by the check. */
function bindingOf({ binding }: Rendezvous): Binding {
  return binding as Binding
}

/** Takes a connection that has come in; undefined when it has not yet, or others have to be taken before. */
export function accept(context: OpenContext, arrival: Arrival, flags: number): Slot | undefined {
  const { rendezvous, place } = arrival
  const before = rendezvous.arrivals[place - 1]?.accepted
  const waits = [
    context.need(arrived(context, arrival), 'restored'),
    before === undefined || context.need(context.nodeOf(before.file), 'open'),
  ]
  if (waits.includes(false)) return undefined
  const slot = { slot: slotOfListener(context, rendezvous) }
  const socket = context.ops.open('accept4', [slot, 0, 0, flags])
  if (rendezvous.listener === undefined && place === rendezvous.arrivals.length - 1)
    closed(context, rendezvous, bindingOf(rendezvous))
  return socket
}

function slotOfListener(context: OpenContext, rendezvous: Rendezvous): Slot {
  const { ops } = context
  const { listener, slots } = rendezvous
  if (listener !== undefined) return context.slotOf(listener.file, ops)
  const { task, slot } = opened(context, rendezvous, bindingOf(rendezvous))
  const opener = task?.index ?? 0
  if (opener === ops.task) return slot as Slot
  const fetched = slots.get(ops.task) ?? ops.fetch(opener, slot as Slot)
  slots.set(ops.task, fetched)
  return fetched
}
