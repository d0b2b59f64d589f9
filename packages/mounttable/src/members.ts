import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { MountTableError } from './errors.ts'
import type { MountTableHandle } from './handle.ts'
import type { ToControl, ToMember } from './messages.ts'
import type { SharedTable } from './shared-table.ts'

/** The control thread's own stripe, and its id among the members. */
export const CONTROL = 0

interface Member {
  readonly id: number
  readonly stripe: number
  readonly port: MessagePort
  /** Who has left is asked for nothing, but is told what concerns the leases it still holds. */
  state: 'reserved' | 'attached' | 'left'
}

export interface MemberEvents {
  message(id: number, message: ToControl): void
  closed(id: number): void
}

/** The control thread's ends of its members: a port and a stripe each. */
export class Members<Spec> {
  readonly #shared: SharedTable
  readonly #events: MemberEvents
  readonly #members = new Map<number, Member>()
  readonly #freeStripes: number[]

  constructor(shared: SharedTable, events: MemberEvents) {
    this.#shared = shared
    this.#events = events
    this.#freeStripes = Array.from({ length: shared.stripes - 1 }, (_, index) => index + 1)
  }

  /** @throws MountTableError ERR_MOUNT_MEMBERS */
  share(): MountTableHandle {
    const stripe = this.#freeStripes.shift()
    if (stripe === undefined) {
      throw new MountTableError(
        'ERR_MOUNT_MEMBERS',
        'share',
        `all ${this.#shared.stripes - 1} members are taken; raise the option 'members', or call removed() for those that ended`,
      )
    }
    const { port1, port2 } = new MessageChannel()
    const id = this.#shared.reserve(stripe)
    this.#members.set(id, { id, stripe, port: port1, state: 'reserved' })
    port1.on('message', (message: ToControl) => {
      this.#events.message(id, message)
    })
    port1.on('close', () => {
      this.#events.closed(id)
    })
    port1.unref()
    // With a stripe to give, the memory is shared.
    const buffer = this.#shared.buffer as SharedArrayBuffer
    return { id, stripe, epoch: this.#shared.epoch, buffer, port: port2, transfer: [port2] }
  }

  setAttached(id: number, attached: boolean): void {
    const member = this.#members.get(id)
    if (member !== undefined) member.state = attached ? 'attached' : 'left'
  }

  attached(): number[] {
    return [...this.#members.values()]
      .filter((member) => member.state === 'attached')
      .map((member) => member.id)
  }

  send(id: number, message: ToMember<Spec>): void {
    this.#members.get(id)?.port.postMessage(message)
  }

  /** To all that know anything of the table. */
  broadcast(message: ToMember<Spec>): void {
    for (const member of this.#members.values()) {
      if (member.state !== 'reserved') member.port.postMessage(message)
    }
  }

  /** Ids and counts of those that hold leases of a slot. */
  holding(slot: number): { member: number; count: number }[] {
    const stripes = [{ id: CONTROL, stripe: CONTROL }, ...this.#members.values()]
    return stripes
      .map(({ id, stripe }) => ({ member: id, count: this.#shared.stripeReferences(stripe, slot) }))
      .filter(({ count }) => count > 0)
  }

  /** Forgets a member whose thread has ended. What it served is handed to `fold` before its stripe is cleared. */
  remove(id: number, fold: (stripe: number) => void): boolean {
    const member = this.#members.get(id)
    if (member === undefined) return false
    this.#members.delete(id)
    member.port.close()
    fold(member.stripe)
    this.#shared.clearStripe(member.stripe)
    this.#freeStripes.push(member.stripe)
    return true
  }

  close(): void {
    for (const member of this.#members.values()) member.port.close()
    this.#members.clear()
  }
}
