/** The doors of the stress: how each is served, and what may be asked of it. */

/** What a request asks its procedure to do. */
export const Mode = {
  answer: 0,
  /** Asynchronously, so that calls overtake each other. */
  later: 1,
  fail: 2,
  /** Until the signal says that nobody waits any more. */
  wait: 3,
  /** The same in a thread that has no turn for a signal. */
  block: 4,
  /** Keeps its thread for some milliseconds. */
  nap: 5,
  /** Ends its thread. */
  exit: 6,
}

const everywhere = [Mode.answer, Mode.answer, Mode.answer, Mode.later, Mode.later, Mode.fail, Mode.wait]
const inThreads = [...everywhere, ...everywhere, Mode.nap, Mode.nap, Mode.block, Mode.exit]

export const DOORS = [
  { name: 'loop', modes: everywhere, threads: false },
  /** Its procedures are told of nothing (DOOR_NO_CANCEL). */
  { name: 'steady', modes: everywhere, threads: false, steady: true },
  { name: 'shared', modes: inThreads, threads: true },
  /** Of the same pool; its procedures get memory that is used again. */
  { name: 'lent', modes: inThreads, threads: true },
  /** With threads of its own, and a most of bytes. */
  { name: 'private', modes: inThreads, threads: true, dataMax: 2 ** 20 },
  { name: 'bare', modes: everywhere, threads: false, refusesDescriptors: true },
  /** Is revoked and made again under its name, in turns by the event loop and by threads. */
  { name: 'fleeting', modes: everywhere, threads: true, fleeting: true },
]
