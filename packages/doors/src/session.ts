import {
  EV_ADD,
  EV_DOD,
  EV_ENABLE,
  EV_KEEPUDATA,
  EV_ONESHOT,
  EVFILT_READ,
  EVFILT_WRITE,
  KEventError,
  NOTE_NODATA,
  KQueue,
  type KEventChange,
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

/**
 * What is enabled is what the number has by now: when its session has ended meanwhile, that is another one's knote, which has
 * to stay that.
 */
export const ENABLE: number = EV_ENABLE | EV_KEEPUDATA

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
    if (ident >= 0) apply(kq, { ident, filter, flags, fflags: NOTE_NODATA, udata: session })
  } finally {
    binding.sessionUnpin()
  }
}

/** Sessions that were in the hands of a thread which has ended: others have their events from now on. */
export function giveBack(kq: KQueue, consumer: number): void {
  for (const { ident, filter } of kq.held(consumer))
    apply(kq, { ident, filter, flags: ENABLE, fflags: NOTE_NODATA })
  // One-shots are for replies, of which the pool looks after all: they are forgotten.
  kq.orphans()
}

/**
 * Without room for events: this thread would take one, of whatever session, and might serve none. What fails has ended
 * meanwhile, the session or the queue.
 */
function apply(kq: KQueue, change: KEventChange): void {
  try {
    kq.kevent([change])
  } catch (error) {
    if (!(error instanceof KEventError)) throw error
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
