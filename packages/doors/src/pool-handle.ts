import type { KQueueHandle } from '@x/kevent'

/** What a thread needs to serve the doors of a pool, for `workerData` or `postMessage`. */
export interface PoolHandle {
  /** Of the pool, in this process. */
  readonly pool: string
  /** This thread's place in `states`. */
  readonly slot: number
  readonly kqueue: KQueueHandle
  /** See {@link Word}. */
  readonly states: SharedArrayBuffer
  /** The door whose private pool it is; 0 for one that serves several. */
  readonly door: number
}

/** What a thread of a pool does. */
export const SlotState = { free: 0, starting: 1, waits: 2, runs: 3 } as const

/** The words of `states`: one of the pool, and then two a slot, which the slot's thread writes while it lives. */
export const Word = { asked: 0, slots: 1 } as const

/** How many words there are. */
export const wordsOf = (slots: number): number => Word.slots + 2 * slots

/** Where the state of a slot's thread is: one of {@link SlotState}. */
export const stateAt = (slot: number): number => Word.slots + 2 * slot

/** Where its number in the queue is, from before it has any event: its owner needs it when it has died. */
export const consumerAt = (slot: number): number => Word.slots + 2 * slot + 1

/** Whether a thread waits for calls. */
export function someoneWaits(words: Int32Array): boolean {
  for (let at = Word.slots; at < words.length; at += 2) {
    if (Atomics.load(words, at) === SlotState.waits) return true
  }
  return false
}

/** Whether no thread is left that waits for calls, and there may be more of them. */
export function isDepleted(words: Int32Array): boolean {
  let free = false
  for (let at = Word.slots; at < words.length; at += 2) {
    const state = Atomics.load(words, at)
    if (state === SlotState.waits || state === SlotState.starting) return false
    free ||= state === SlotState.free
  }
  return free
}
