// The vocabulary of kqueue(2): struct kevent, filters and flags under their BSD names and values.
#ifndef X_KEVENT_KEVENT_H_
#define X_KEVENT_KEVENT_H_

#include <cstddef>
#include <cstdint>

namespace kevent {

// FreeBSD's field order. udata is a JavaScript number: objects cannot cross isolates.
struct KEvent {
  int64_t ident;
  int16_t filter;
  uint16_t flags;
  uint32_t fflags;
  int64_t data;
  double udata;
};
static_assert(sizeof(KEvent) == 32 && offsetof(KEvent, fflags) == 12 && offsetof(KEvent, udata) == 24);

enum FilterNumber : int16_t {
  EVFILT_READ = -1,
  EVFILT_WRITE = -2,
  EVFILT_VNODE = -4,
  EVFILT_PROC = -5,
  EVFILT_SIGNAL = -6,
  EVFILT_TIMER = -7,
  EVFILT_PROCDESC = -8,
  EVFILT_FS = -9,
  EVFILT_USER = -11,
  EVFILT_EMPTY = -13,
  // FreeBSD's last one; anything beyond is no filter at all.
  EVFILT_LAST = -15,
};

enum Flag : uint16_t {
  EV_ADD = 0x0001,
  EV_DELETE = 0x0002,
  EV_ENABLE = 0x0004,
  EV_DISABLE = 0x0008,
  EV_ONESHOT = 0x0010,
  EV_CLEAR = 0x0020,
  EV_RECEIPT = 0x0040,
  EV_DISPATCH = 0x0080,
  EV_FORCEONESHOT = 0x0100,
  EV_KEEPUDATA = 0x0200,
  EV_UNKNOWN = 0x0c00,
  EV_SYSFLAGS = 0xf000,
  EV_ERROR = 0x4000,
  EV_EOF = 0x8000,
};

// What a knote remembers of the flags that created it.
constexpr uint16_t kStickyFlags = EV_ONESHOT | EV_CLEAR | EV_RECEIPT | EV_DISPATCH;

enum Note : uint32_t {
  // EVFILT_READ, EVFILT_WRITE
  NOTE_LOWAT = 0x00000001,
  // EVFILT_READ of a regular file: ready at its end, too.
  NOTE_FILE_POLL = 0x00000002,
  // Ours: with EV_ENABLE, the handler has seen recv(2) return less than it asked for, so that only a new
  // edge can make the descriptor ready: the level is not read again.
  NOTE_DRAINED = 0x00010000,
  // Ours: `data` stays 0 and the level is not read again at delivery; the handler's own read tells.
  NOTE_NODATA = 0x00020000,
  // Ours, any filter: an EV_DELETE of a knote whose event a handler has is answered with EINPROGRESS, and
  // done
  // when the handler enables it, by a last, forced event. No filter returns this bit.
  NOTE_DEFER = 0x02000000,
  // EVFILT_VNODE
  NOTE_DELETE = 0x00000001,
  NOTE_WRITE = 0x00000002,
  NOTE_EXTEND = 0x00000004,
  NOTE_ATTRIB = 0x00000008,
  NOTE_LINK = 0x00000010,
  NOTE_RENAME = 0x00000020,
  NOTE_OPEN = 0x00000080,
  NOTE_CLOSE = 0x00000100,
  NOTE_CLOSE_WRITE = 0x00000200,
  NOTE_READ = 0x00000400,
  // EVFILT_PROC, EVFILT_PROCDESC
  NOTE_EXIT = 0x80000000,
  // EVFILT_FS
  VQ_MOUNT = 0x00000008,
  VQ_UNMOUNT = 0x00000010,
  // EVFILT_USER
  NOTE_FFNOP = 0x00000000,
  NOTE_FFAND = 0x40000000,
  NOTE_FFOR = 0x80000000,
  NOTE_FFCOPY = 0xc0000000,
  NOTE_FFCTRLMASK = 0xc0000000,
  NOTE_FFLAGSMASK = 0x00ffffff,
  NOTE_TRIGGER = 0x01000000,
  // EVFILT_TIMER
  NOTE_SECONDS = 0x00000001,
  NOTE_MSECONDS = 0x00000002,
  NOTE_USECONDS = 0x00000004,
  NOTE_NSECONDS = 0x00000008,
  NOTE_ABSTIME = 0x00000010,
};

// Errno of a change that is wrong whatever the queue holds, else 0. Nothing is looked up before this has
// passed (the 2006 proposal's rule: an unknown flag is EINVAL, never ignored).
int CheckChange(const KEvent& change);

}  // namespace kevent

#endif  // X_KEVENT_KEVENT_H_
