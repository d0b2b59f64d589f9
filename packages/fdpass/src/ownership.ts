import { binding, Slot } from './binding.ts'
import { publishDiscarded } from './events.ts'

const { numbers } = binding

/** Closes all of them, in as few calls as their numbers allow. */
export function closeAll(descriptors: readonly number[]): void {
  if (descriptors.length === 1) {
    binding.close(descriptors[0] as number)
    return
  }
  const room = numbers.length - Slot.descriptors
  for (let at = 0; at < descriptors.length; at += room) {
    const count = Math.min(room, descriptors.length - at)
    for (let i = 0; i < count; i++) numbers[Slot.descriptors + i] = descriptors[at + i] as number
    binding.closeAll(count)
  }
}

/** Closes descriptors that no call has received, and tells so. */
export function discard(descriptors: readonly number[], reason: 'closed' | 'refused' | 'truncated'): void {
  closeAll(descriptors)
  publishDiscarded(descriptors.length, reason)
}

/**
 * A net below those who forget to close, and no more than that: the garbage collector comes when it likes. An owner
 * that closes or gives away unregisters, so that what is found here is open and owned by nobody.
 */
const forgotten = new FinalizationRegistry<readonly number[]>((descriptors) => {
  closeAll(descriptors)
  publishDiscarded(descriptors.length, 'unclosed')
})

/** To register costs as much as a quarter of a system call, and most owners are closed at once: the young wait here. */
let young: Owner[] = []
let youngBytes = 0
const MOST_YOUNG = 64
let settling: NodeJS.Timeout | undefined
/** Milliseconds. */
const LONGEST_YOUTH = 1000
/** What the young may keep from the garbage collector, in bytes. */
const MOST_YOUNG_BYTES = 256 * 1024

/** Whoever has descriptors that are to be closed. */
export abstract class Owner {
  #registered = false

  /** What is open and nobody else's. */
  protected abstract get held(): readonly number[]

  /** Begins to be looked after; `bytes` is what else it has in memory. */
  protected begin(bytes: number): void {
    young.push(this)
    settling ??= setTimeout(() => {
      settling = undefined
      Owner.#settle()
    }, LONGEST_YOUTH).unref()
    youngBytes += bytes
    if (young.length >= MOST_YOUNG || youngBytes > MOST_YOUNG_BYTES) Owner.#settle()
  }

  /** It holds nothing any more. */
  protected finish(): void {
    if (this.#registered) forgotten.unregister(this)
    this.#registered = false
  }

  static #settle(): void {
    const owners = young
    young = []
    youngBytes = 0
    for (const owner of owners) {
      const { held } = owner
      if (held.length === 0) continue
      owner.#registered = true
      forgotten.register(owner, held, owner)
    }
  }
}
