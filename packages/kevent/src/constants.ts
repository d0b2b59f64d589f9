/**
 * The names and values of kqueue(2), FreeBSD's. `EV_DOD` and `EV_FORCEOS` are the names under which
 * J.-M. Gurney proposed `EV_DISPATCH` and `EV_FORCEONESHOT` in 2006.
 */

/** Readable: `data` is the number of bytes, or of connections that wait to be accepted. */
export const EVFILT_READ = -1
/** Writable: `data` is the free room in bytes. */
export const EVFILT_WRITE = -2
/**
 * What happens to a file that is open: `fflags` says what to tell of, and in an event what has happened. Not for
 * pipes and sockets (EINVAL).
 */
export const EVFILT_VNODE = -4
/**
 * The end of the process whose id is the `ident`, with `NOTE_EXIT`: `data` is its wait status as in wait(2), and
 * stays there for the parent to take. Of a process that is no child, or that its parent has reaped before the
 * event was taken, the status is known on Linux 6.15 and later, once it is reaped; else `data` is -1. The event
 * has EV_EOF and is the knote's last. Throws ESRCH when there is no such process.
 */
export const EVFILT_PROC = -5
/**
 * A signal: `data` is how often it came since the last event, whoever else handles it, and even if it is ignored.
 * One per process and not per thread. See the README for what libuv does to it.
 */
export const EVFILT_SIGNAL = -6
/** A timer of the queue's own; costs no descriptor. `data` of an event is the number of expirations. */
export const EVFILT_TIMER = -7
/** As {@link EVFILT_PROC}; the `ident` is a pidfd. */
export const EVFILT_PROCDESC = -8
/** File systems are mounted or unmounted; the `ident` is 0, `fflags` {@link VQ_MOUNT} and {@link VQ_UNMOUNT}. */
export const EVFILT_FS = -9
/** Triggered by `NOTE_TRIGGER` from any thread; costs no descriptor. */
export const EVFILT_USER = -11
/**
 * A socket's send buffer is empty: the peer has acknowledged all. A listener's always is. Linux tells nobody when
 * that happens: while the knote waits the socket is looked at by a timer, every 1 to 32 ms. Not with EV_CLEAR.
 */
export const EVFILT_EMPTY = -13

// What FreeBSD has beyond these, so that code that names them loads and is told: a change with one is ENXIO.
export const EVFILT_AIO = -3
export const EVFILT_LIO = -10
export const EVFILT_SENDFILE = -12
export const EVFILT_JAIL = -14
export const EVFILT_JAILDESC = -15

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
/** Mask of the flags that a change may have and that are not looked at, so that an event can be used as a change. */
export const EV_SYSFLAGS = 0xf000
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

/** READ of a regular file: an event at its end, too. */
export const NOTE_FILE_POLL = 0x00000002

/** VNODE: a name of the file was removed; of a directory, its own. */
export const NOTE_DELETE = 0x00000001
/** VNODE: written to; of a directory: an entry came, went or was renamed. */
export const NOTE_WRITE = 0x00000002
/** VNODE: longer than before; of a directory: an entry came from another directory, or went to one. */
export const NOTE_EXTEND = 0x00000004
/** VNODE: mode, owner, times or extended attributes were changed. */
export const NOTE_ATTRIB = 0x00000008
/** VNODE: the number of links has changed; of a directory: a subdirectory came or went. */
export const NOTE_LINK = 0x00000010
/** VNODE: renamed. */
export const NOTE_RENAME = 0x00000020
/** VNODE: opened. */
export const NOTE_OPEN = 0x00000080
/** VNODE: closed, by somebody who could not write. */
export const NOTE_CLOSE = 0x00000100
/** VNODE: closed, by somebody who could write. */
export const NOTE_CLOSE_WRITE = 0x00000200
/** VNODE: read from; of a directory: listed. */
export const NOTE_READ = 0x00000400

/** VNODE: revoke(2), which Linux does not have: EINVAL. */
export const NOTE_REVOKE = 0x00000040

/** PROC: fork, exec, and following of children, which a pidfd does not tell: EINVAL. */
export const NOTE_FORK = 0x40000000
export const NOTE_EXEC = 0x20000000
export const NOTE_TRACK = 0x00000001

/** PROC, PROCDESC: the process has ended. The only note of theirs that Linux can give. */
export const NOTE_EXIT = 0x80000000

/** FS: something was mounted. */
export const VQ_MOUNT = 0x00000008
/** FS: something was unmounted. */
export const VQ_UNMOUNT = 0x00000010

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
