import { setImmediate } from 'node:timers/promises'

/** Work that stops at each `yield`, where something else may run. */
export type Work<T> = Generator<void, T>

const SLICE_MS = 5

/**
 * Runs work in the event loop, which turns after every few milliseconds of it. Files on disk are read and written by
 * synchronous calls, a small part at a time: an image folder has hundreds of small files, and a thread's round trip for
 * each would cost several times what the work does.
 */
export async function inSlices<T>(work: Work<T>, signal?: AbortSignal): Promise<T> {
  try {
    let end = performance.now() + SLICE_MS
    for (;;) {
      signal?.throwIfAborted()
      const step = work.next()
      if (step.done === true) return step.value
      if (performance.now() < end) continue
      await setImmediate()
      end = performance.now() + SLICE_MS
    }
  } finally {
    // Ends work that was left early, and closes what it had open.
    work.return(undefined as never)
  }
}
