import type { NativeHandle } from './binding.ts'
import { KEventError } from './errors.ts'
import type { KEventList } from './kevent-list.ts'

const EINVAL = -22

/** Lists that {@link KQueue.consume} reads changes from and writes events to. */
export interface ConsumeLists {
  changes: KEventList
  events: KEventList
}

/** Consumption of a queue in the event loop. */
export interface Consumption {
  /** Let it keep the process alive (the state after `consume`). */
  ref(): void
  /** Do not let it. */
  unref(): void
  /** No further call of the callback. Stopping twice is fine. */
  stop(): void
  [Symbol.dispose](): void
}

/** What can be transferred or resized can be taken away from under a consumption. */
const isKept = ({ bytes }: KEventList): boolean => bytes.buffer instanceof SharedArrayBuffer

export function startConsumption(
  native: NativeHandle,
  { changes, events }: ConsumeLists,
  callback: (count: number) => number,
): Consumption {
  if (!isKept(changes) || !isKept(events)) throw new KEventError(EINVAL, 'kqueue')
  const { seen } = native
  const number = native.consume(changes.bytes, events.bytes, (count) => {
    seen[0] = 1
    return callback(count)
  })
  if (number < 0) throw new KEventError(number, 'kqueue')
  const stop = (): void => {
    native.stopConsuming(number)
  }
  return {
    ref: () => {
      native.ref(number, true)
    },
    unref: () => {
      native.ref(number, false)
    },
    stop,
    [Symbol.dispose]: stop,
  }
}
