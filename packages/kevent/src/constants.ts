/**
 * The names and values of kqueue(2), FreeBSD's. `EV_DOD` and `EV_FORCEOS` are the names under which
 * J.-M. Gurney proposed `EV_DISPATCH` and `EV_FORCEONESHOT` in 2006.
 */

/** Readable: `data` is the number of bytes, or of connections that wait to be accepted. */
export const EVFILT_READ = -1
/** Writable: `data` is the free room in bytes. */
export const EVFILT_WRITE = -2
/** A timer of the queue's own; costs no descriptor. `data` of an event is the number of expirations. */
export const EVFILT_TIMER = -7
/** Triggered by `NOTE_TRIGGER` from any thread; costs no descriptor. */
export const EVFILT_USER = -11

/** Make the knote, or modify the one that is there (its flags and its disabled state stay as they are). */
export const EV_ADD = 0x0001
/** Remove the knote. Wins over every other action of the same change. */
export const EV_DELETE = 0x0002
/** Deliver again; the source is looked at anew, so that nothing that came meanwhile is lost. */
export const EV_ENABLE = 0x0004
/** Stop delivering; the filter goes on. */
export const EV_DISABLE = 0x0008
/** Deliver once, then remove. */
export const EV_ONESHOT = 0x0010
/** Reset the state at delivery: a new event needs something new to happen. */
export const EV_CLEAR = 0x0020
/** Answer the change with an `EV_ERROR` record (`data` 0 for success) and deliver no event in that call. */
export const EV_RECEIPT = 0x0040
/** Disable at delivery: the event is in one handler only, until that handler re-enables it. */
export const EV_DISPATCH = 0x0080
/** Deliver once more, whatever the filter says, then remove; if disabled, when it is next enabled. */
export const EV_FORCEONESHOT = 0x0100
/** Leave the stored `udata` as it is. Not with `EV_ADD`. */
export const EV_KEEPUDATA = 0x0200
/** Returned: the change failed with errno `data`, or, with 0, is a receipt. */
export const EV_ERROR = 0x4000
/** Returned: the other end is gone; `data` may still be more than 0. */
export const EV_EOF = 0x8000

/** Disable on delivery: the 2006 name of {@link EV_DISPATCH}. */
export const EV_DOD: typeof EV_DISPATCH = EV_DISPATCH
/** Force one-shot: the 2006 name of {@link EV_FORCEONESHOT}. */
export const EV_FORCEOS: typeof EV_FORCEONESHOT = EV_FORCEONESHOT

/** READ, WRITE: `data` of the change is the low-water mark in bytes, of this knote alone. */
export const NOTE_LOWAT = 0x00000001
/**
 * READ, with EV_ENABLE (not in BSD): the handler saw recv(2) return less than it asked for, and the event had
 * no EV_EOF, so that only a new edge can make the descriptor readable. The level is not read again.
 */
export const NOTE_DRAINED = 0x00010000
/**
 * READ, WRITE (not in BSD): `data` stays 0 and the level is not read at delivery, which saves a system call.
 * A handler that is told of readiness may then find nothing to read.
 */
export const NOTE_NODATA = 0x00020000

/**
 * Any filter, with EV_DELETE (not in BSD; after Darwin's EV_DISPATCH2): if a handler has the knote's event
 * (delivered with EV_DISPATCH and not enabled since), the answer is EINPROGRESS, and the knote stays until the
 * handler's EV_ENABLE, which brings a last event with EV_ONESHOT and EV_FORCEONESHOT. Else it is removed at once.
 */
export const NOTE_DEFER = 0x02000000

/** USER: ignore the flags given. */
export const NOTE_FFNOP = 0x00000000
/** USER: and the stored flags with those given. */
export const NOTE_FFAND = 0x40000000
/** USER: or. */
export const NOTE_FFOR = 0x80000000
/** USER: replace. */
export const NOTE_FFCOPY = 0xc0000000
/** USER: mask of the four operations. */
export const NOTE_FFCTRLMASK = 0xc0000000
/** USER: mask of the 24 bits that are the user's. */
export const NOTE_FFLAGSMASK = 0x00ffffff
/** USER: make it ready. */
export const NOTE_TRIGGER = 0x01000000

/** TIMER: `data` is in seconds. */
export const NOTE_SECONDS = 0x00000001
/** TIMER: in milliseconds, the default. */
export const NOTE_MSECONDS = 0x00000002
/** TIMER: in microseconds. */
export const NOTE_USECONDS = 0x00000004
/** TIMER: in nanoseconds. */
export const NOTE_NSECONDS = 0x00000008
/** TIMER: `data` is a time on the system clock, not a span. */
export const NOTE_ABSTIME = 0x00000010
