import { abandon, reinstate } from '@x/http1'
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

/** A connection that was closed, because the queue did not take it. */
export interface Refused {
  readonly descriptor: number
  readonly errno: number
}

/**
 * Puts yielded connections into service. Of one that has a whole request already, an event is made. Those that the queue
 * does not take are closed, and returned.
 */
export function serveAgain(queue: KQueue, descriptors: readonly number[]): Refused[] {
  if (descriptors.length === 0) return []
  const refused: Refused[] = []
  const changes = new KEventList(Math.min(descriptors.length, BATCH))
  for (let first = 0; first < descriptors.length; first += BATCH) {
    refused.push(...add(queue, changes, descriptors.slice(first, first + BATCH)))
  }
  return refused
}

function add(queue: KQueue, changes: KEventList, descriptors: readonly number[]): Refused[] {
  const unparsed: number[] = []
  for (const [index, descriptor] of descriptors.entries()) {
    if (reinstate(descriptor)) unparsed.push(descriptor)
    changes.set(index, descriptor, EVFILT_READ, EV_ADD | EV_DISPATCH | EV_RECEIPT, NOTE_NODATA)
  }
  try {
    queue.keventList(changes, descriptors.length, changes, descriptors.length, 0)
    // It says of one that is not there, too, that it is not.
    for (const descriptor of unparsed) force(queue, descriptor)
  } catch (error) {
    // The queue was closed: the server has ended meanwhile.
    if (!(error instanceof KEventError)) throw error
    return []
  }
  return descriptors.flatMap((descriptor, index) => {
    const errno = changes.data(index)
    if (errno === 0) return []
    abandon(descriptor)
    return [{ descriptor, errno }]
  })
}
