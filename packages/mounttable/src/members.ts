import { MessageChannel, threadId, type MessagePort } from 'node:worker_threads'
import { MountTableError } from './errors.ts'
import { publishEvent } from './events.ts'
import type { MountTableHandle } from './handle.ts'
import type { ToControl, ToMember } from './messages.ts'
import type { SharedTable } from './shared-table.ts'

/** The control thread's own stripe, and its id among the members. */
export const CONTROL = 0

interface Member {
  readonly id: number
  readonly stripe: number
  /** Undefined when that went with an earlier control thread. */
  readonly port: MessagePort | undefined
  /** Who has left is asked for nothing, but is told what concerns the leases it still holds. */
  state: 'reserved' | 'attached' | 'left' | 'orphaned'
  thread: number | undefined
}

/** A thread of the table. */
export interface MemberInfo {
  /** 0 is the control thread. */
  readonly id: number
  /** The `threadId` of node:worker_threads; undefined until it has joined. */
  readonly thread: number | undefined
  /**
   * `reserved`: share() was called. `left`: close() was called, and leases may still be held. `orphaned`: of an earlier
   * control thread; it can only give its leases back.
   */
  readonly state: 'control' | 'reserved' | 'attached' | 'left' | 'orphaned'
  /** Leases it holds. */
  readonly references: number
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

  /** Takes over the members of an earlier control thread. */
  adopt(): void {
    this.#freeStripes.length = 0
    for (let stripe = 1; stripe < this.#shared.stripes; stripe++) {
      const id = this.#shared.owner(stripe)
      if (id === undefined) {
        this.#shared.clearStripe(stripe)
        this.#freeStripes.push(stripe)
      } else this.#members.set(id, { id, stripe, port: undefined, state: 'orphaned', thread: undefined })
    }
    this.#shared.clearStripe(CONTROL)
  }

  /** Those that were adopted: whether they have given their stripe up. */
  orphans(): { id: number; left: boolean }[] {
    return [...this.#members.values()]
      .filter(({ state }) => state === 'orphaned')
      .map(({ id, stripe }) => ({ id, left: this.#shared.owner(stripe) !== id }))
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
    this.#members.set(id, { id, stripe, port: port1, state: 'reserved', thread: undefined })
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

  join(id: number, thread: number): void {
    const member = this.#members.get(id)
    if (member === undefined) return
    member.state = 'attached'
    member.thread = thread
    publishEvent('memberJoined', { member: id, thread })
  }

  leave(id: number): void {
    const member = this.#members.get(id)
    if (member === undefined) return
    member.state = 'left'
    publishEvent('memberLeft', { member: id, thread: member.thread })
  }

  attached(): number[] {
    return [...this.#members.values()]
      .filter((member) => member.state === 'attached')
      .map((member) => member.id)
  }

  send(id: number, message: ToMember<Spec>): void {
    this.#members.get(id)?.port?.postMessage(message)
  }

  /** To all that know anything of the table. */
  broadcast(message: ToMember<Spec>): void {
    for (const member of this.#members.values()) {
      if (member.state !== 'reserved') member.port?.postMessage(message)
    }
  }

  /** Those that hold leases of a slot. */
  holding(slot: number): { member: number; thread: number | undefined; count: number }[] {
    return this.describe(this.#shared.counts(slot))
      .filter(({ references }) => references > 0)
      .map(({ id, thread, references }) => ({ member: id, thread, count: references }))
  }

  /** All members, with what each holds by the counts of their stripes. */
  describe(counts: readonly number[]): MemberInfo[] {
    const workers = [...this.#members.values()].map(({ id, thread, state, stripe }) => ({
      id,
      thread,
      state,
      references: counts[stripe] ?? 0,
    }))
    return [{ id: CONTROL, thread: threadId, state: 'control', references: counts[CONTROL] ?? 0 }, ...workers]
  }

  /** Forgets a member whose thread has ended. What it served is handed to `fold` before its stripe is cleared. */
  remove(id: number, fold: (stripe: number) => void): boolean {
    const member = this.#members.get(id)
    if (member === undefined) return false
    this.#members.delete(id)
    member.port?.close()
    fold(member.stripe)
    this.#shared.clearStripe(member.stripe)
    this.#freeStripes.push(member.stripe)
    publishEvent('memberRemoved', { member: id, thread: member.thread })
    return true
  }

  close(): void {
    for (const member of this.#members.values()) member.port?.close()
    this.#members.clear()
  }
}
