import { binding, Slot } from './binding.ts'
import { publishDiscarded } from './events.ts'

/** Closes all of them, in as few calls as their numbers allow. */
export function closeAll(descriptors: readonly number[]): void {
  const room = binding.numbers.length - Slot.descriptors
  for (let at = 0; at < descriptors.length; at += room) {
    const count = Math.min(room, descriptors.length - at)
    for (let i = 0; i < count; i++) binding.numbers[Slot.descriptors + i] = descriptors[at + i]!
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
export const forgotten: FinalizationRegistry<readonly number[]> = new FinalizationRegistry((descriptors) => {
  closeAll(descriptors)
  publishDiscarded(descriptors.length, 'unclosed')
})
