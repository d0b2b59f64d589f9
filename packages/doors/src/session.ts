import {
  EV_ADD,
  EV_DOD,
  EV_ONESHOT,
  EVFILT_READ,
  EVFILT_WRITE,
  KEventError,
  NOTE_NODATA,
  KQueue,
} from '@x/kevent'
import { binding, Fate, Taken } from './binding.ts'
import { DoorError, E, errnoOf } from './errors.ts'
import { TakenCall } from './taken-call.ts'
import { threadKey } from './thread-key.ts'

/** A queue of sessions. Throws DoorError EMFILE, ENFILE, ENOMEM. */
export function newQueue(syscall: string): KQueue {
  try {
    return new KQueue()
  } catch (cause) {
    throw new DoorError(errnoOf(cause) ?? E.EMFILE, syscall, { cause })
  }
}

/** From now on the queue tells of its calls. */
export function watchSession(kq: KQueue, session: number): void {
  change(kq, session, EVFILT_READ, EV_ADD | EV_DOD)
}

/** When its client has read, the queue tells a thread to go on to send. */
export function flushLater(kq: KQueue, session: number): void {
  change(kq, session, EVFILT_WRITE, EV_ADD | EV_ONESHOT)
}

function change(kq: KQueue, session: number, filter: number, flags: number): void {
  const ident = binding.sessionPin(session)
  try {
    if (ident >= 0) kq.kevent([{ ident, filter, flags, fflags: NOTE_NODATA, udata: session }])
  } catch (error) {
    // The queue has ended meanwhile.
    if (!(error instanceof KEventError)) throw error
  } finally {
    binding.sessionUnpin()
  }
}

/**
 * Ends it in an order in which its number cannot be another file's while the queue still watches it, also when two
 * threads do it at once. Returns flags, as of {@link Fate}.
 */
export function endSession(kq: KQueue, session: number): number {
  const descriptor = binding.sessionPin(session)
  try {
    if (descriptor < 0) return Fate.gone
    kq.detach(descriptor)
    return binding.sessionClose(session)
  } finally {
    binding.sessionUnpin()
  }
}

/** Calls that no thread has taken yet fail with an errno. `cancelled` is told of those that run and nobody waits for. */
export function refuseWaiting(
  kq: KQueue,
  session: number,
  errno: number,
  cancelled: (sequence: number) => void,
): void {
  for (;;) {
    const taken = binding.sessionTake(session, threadKey, 0)
    let fate = 0
    if (taken === Taken.call) fate = refuse(new TakenCall(session), errno)
    else if (taken === Taken.cancel) cancelled((binding.numbers[0] as number) >>> 0)
    else if (taken === Taken.again) fate = binding.numbers[0] as number
    else return
    if ((fate & Fate.queued) !== 0) flushLater(kq, session)
  }
}

function refuse({ session, sequence, fds }: TakenCall, errno: number): number {
  for (const fd of fds) fd.close()
  return binding.sessionReply(session, sequence, errno, null, null)
}
