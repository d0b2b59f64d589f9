import { reinstate } from '@x/http1'
import {
  EVFILT_READ,
  EV_ADD,
  EV_DISPATCH,
  EV_RECEIPT,
  KEventError,
  KEventList,
  NOTE_NODATA,
  type KQueue,
} from '@x/kevent'
import { force } from '../teardown/deadline-timer.ts'

const BATCH = 1024

/** Puts yielded connections into service. Of one that has a whole request already, an event is made. */
export function serveAgain(queue: KQueue, descriptors: readonly number[]): void {
  if (descriptors.length === 0) return
  const changes = new KEventList(Math.min(descriptors.length, BATCH))
  for (let first = 0; first < descriptors.length; first += BATCH) {
    add(queue, changes, descriptors.slice(first, first + BATCH))
  }
}

function add(queue: KQueue, changes: KEventList, descriptors: readonly number[]): void {
  const unparsed: number[] = []
  for (const [index, descriptor] of descriptors.entries()) {
    if (reinstate(descriptor)) unparsed.push(descriptor)
    changes.set(index, descriptor, EVFILT_READ, EV_ADD | EV_DISPATCH | EV_RECEIPT, NOTE_NODATA)
  }
  try {
    queue.keventList(changes, descriptors.length, changes, descriptors.length, 0)
    for (const descriptor of unparsed) force(queue, descriptor)
  } catch (error) {
    // The queue was closed: the server has ended meanwhile.
    if (!(error instanceof KEventError)) throw error
  }
}
