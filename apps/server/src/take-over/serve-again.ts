import { reinstate } from '@x/http1'
import { EVFILT_READ, EV_ADD, EV_DISPATCH, KEventError, NOTE_NODATA, type KQueue } from '@x/kevent'
import { force } from '../supervisor/deadline-timer.ts'

/** Puts yielded connections into service. Of one that has a whole request already, an event is made. */
export function serveAgain(queue: KQueue, descriptors: Iterable<number>): void {
  for (const ident of descriptors) {
    const unparsed = reinstate(ident)
    try {
      queue.kevent([{ ident, filter: EVFILT_READ, flags: EV_ADD | EV_DISPATCH, fflags: NOTE_NODATA }])
      if (unparsed) force(queue, ident)
    } catch (error) {
      // The queue was closed: the server has ended meanwhile.
      if (!(error instanceof KEventError)) throw error
    }
  }
}
